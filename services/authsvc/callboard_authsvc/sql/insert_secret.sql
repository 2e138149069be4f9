insert into cb.secret (organisation, secret, version, nonce, ciphertext, stored_at, key_version)
values ($1, $2, $3, $4, $5, $6, $7)
