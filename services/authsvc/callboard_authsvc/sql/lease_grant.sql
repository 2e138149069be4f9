update cb.upstream_grant set lease_until = now() + make_interval(secs => $5)
where organisation = $1 and server = $2 and subject = $3 and version = $4 and lease_until < now() and not lost
returning version
