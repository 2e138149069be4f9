select issuer, sealed from cb.upstream_client
where organisation = $1 and substring(sealed from 2 for 4) < int4send($2) limit 200
