update cb.upstream_grant set version = version + 1, sealed = $4, issuer = $5, scopes = $6, lost = false,
  lease_until = '-infinity', updated_at = now()
where organisation = $1 and server = $2 and subject = $3 and version = $7
returning version
