select key_id, organisation, client, verifier, scopes, playbooks, created_at, expires_at, revoked_at
from cb.token where key_id = $1
