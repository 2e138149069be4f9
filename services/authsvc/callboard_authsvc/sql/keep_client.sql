insert into cb.upstream_client (organisation, issuer, client_id, sealed) values ($1, $2, $3, $4)
on conflict (organisation, issuer) do update set client_id = excluded.client_id, sealed = excluded.sealed,
  registered_at = now()
