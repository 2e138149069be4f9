update cb.token set revoked_at = $4
where organisation = $1 and client = $2 and key_id <> $3 and revoked_at is null
