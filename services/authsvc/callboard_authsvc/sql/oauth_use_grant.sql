update cb.oauth_grant set used_at = $2 where gid = $1
