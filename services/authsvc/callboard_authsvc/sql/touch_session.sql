update cb.login_session set seen_at = $2 where key_id = $1 and seen_at < $2
