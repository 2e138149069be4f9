update cb.upstream_grant set lost = true, lease_until = '-infinity', updated_at = now()
where organisation = $1 and server = $2 and subject = $3 and version = $4
