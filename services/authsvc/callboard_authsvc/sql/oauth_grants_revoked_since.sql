select gid from cb.oauth_grant where revoked_at >= $1 order by revoked_at
