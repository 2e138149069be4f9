insert into cb.login_session (key_id, verifier, person, opened_at, seen_at, expires_at) values ($1, $2, $3, $4, $4, $5)
