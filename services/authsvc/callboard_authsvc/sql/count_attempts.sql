select count(*) as attempts, min(at) as first from cb.login_attempt where subject = $1 and at > $2
