update cb.token set revoked_at = now() where organisation = $1 and (person = $2 or member = $2) and revoked_at is null
