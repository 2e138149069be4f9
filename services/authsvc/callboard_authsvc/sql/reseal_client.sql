update cb.upstream_client set sealed = $4 where organisation = $1 and issuer = $2 and sealed = $3
