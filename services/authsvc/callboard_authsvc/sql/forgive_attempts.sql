delete from cb.login_attempt where subject = $1
