select key_id, verifier, person, expires_at, used_at from cb.password_reset where key_id = $1
