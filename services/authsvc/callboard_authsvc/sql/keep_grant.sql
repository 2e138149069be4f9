insert into cb.upstream_grant as g (organisation, server, subject, version, sealed, issuer, scopes)
values ($1, $2, $3, 1, $4, $5, $6)
on conflict (organisation, server, subject) do update set version = g.version + 1, sealed = excluded.sealed,
  issuer = excluded.issuer, scopes = excluded.scopes, lost = false, lease_until = '-infinity', updated_at = now()
returning version
