select version, sealed, lost from cb.upstream_grant where organisation = $1 and server = $2 and subject = $3
