select sealed from cb.upstream_client where organisation = $1 and issuer = $2
