select distinct member from cb.token
where organisation = $1 and client = $2 and revoked_at is null and (expires_at is null or expires_at > now())
