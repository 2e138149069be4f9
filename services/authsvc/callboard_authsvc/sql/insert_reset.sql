insert into cb.password_reset (key_id, verifier, person, expires_at) values ($1, $2, $3, $4)
