delete from cb.upstream_client where organisation = $1 and issuer = $2 and client_id = $3
