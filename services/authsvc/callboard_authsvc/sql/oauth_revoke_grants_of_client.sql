update cb.oauth_grant set revoked_at = $2, reason = 'client_removed' where client_id = $1 and revoked_at is null
