update cb.token set revoked_at = $3 where organisation = $1 and member = $2 and revoked_at is null
