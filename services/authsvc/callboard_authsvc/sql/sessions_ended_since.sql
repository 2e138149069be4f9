select key_id from cb.login_session where ended_at >= $1
