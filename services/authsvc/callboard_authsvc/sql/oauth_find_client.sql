select client_id, kind, name, redirect_uris, auth_method, grant_types, verifier, public_keys, keys_url, organisation,
  account, created_at, used_at, fresh_until, removed_at
from cb.oauth_client where client_id = $1
