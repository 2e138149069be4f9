select key_id, organisation, client, verifier, scopes, playbooks, created_at, expires_at, revoked_at
from cb.token where organisation = $1 order by created_at, key_id
