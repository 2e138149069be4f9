insert into cb.oauth_client (client_id, kind, name, redirect_uris, auth_method, grant_types, verifier, public_keys,
  keys_url, organisation, account, created_at, fresh_until)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
on conflict (client_id) do update set name = excluded.name, redirect_uris = excluded.redirect_uris,
  auth_method = excluded.auth_method, grant_types = excluded.grant_types, public_keys = excluded.public_keys,
  keys_url = excluded.keys_url, fresh_until = excluded.fresh_until
where cb.oauth_client.kind = 'document'
