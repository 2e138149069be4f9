delete from cb.login_session where expires_at < $1
