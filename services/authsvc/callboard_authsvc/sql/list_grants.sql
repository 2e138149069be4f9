select subject, lost, issuer, scopes, updated_at from cb.upstream_grant
where organisation = $1 and server = $2 order by subject
