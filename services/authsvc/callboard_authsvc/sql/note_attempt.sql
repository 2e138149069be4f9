insert into cb.login_attempt (subject, at) select unnest($1::bytea[]), $2
