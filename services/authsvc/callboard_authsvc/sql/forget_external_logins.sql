delete from cb.external_login where expires_at < $1
