update cb.token set revoked_at = $3 where organisation = $1 and key_id = $2 and revoked_at is null
