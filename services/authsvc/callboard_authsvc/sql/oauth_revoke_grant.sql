update cb.oauth_grant set revoked_at = $2, reason = $3 where gid = $1 and revoked_at is null
