-- No row comes back when the key id is somebody else's. The verifier is replaced too: the pepper may be new.
insert into cb.token as t (key_id, organisation, client, verifier, scopes, playbooks, created_at, expires_at, member)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
on conflict (key_id) do update
  set verifier = excluded.verifier, scopes = excluded.scopes, expires_at = excluded.expires_at, revoked_at = null
  where t.organisation = excluded.organisation and t.client = excluded.client
returning key_id
