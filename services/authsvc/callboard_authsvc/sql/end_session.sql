update cb.login_session set ended_at = $2 where key_id = $1 and ended_at is null returning key_id
