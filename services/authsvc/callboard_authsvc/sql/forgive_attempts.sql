delete from cb.login_attempt where subject = $1 or at < $2
