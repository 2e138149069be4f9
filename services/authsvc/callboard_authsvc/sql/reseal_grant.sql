update cb.upstream_grant set sealed = $5
where organisation = $1 and server = $2 and subject = $3 and sealed = $4
