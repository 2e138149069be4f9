update cb.upstream_grant set lease_until = '-infinity'
where organisation = $1 and server = $2 and subject = $3 and version = $4
