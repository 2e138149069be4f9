select gid from cb.oauth_grant where client_id = $1 and revoked_at is null
