delete from cb.external_login where state = $1 returning ticket, verifier, nonce, expires_at
