delete from cb.oauth_refresh where gid = $1 and generation < $2
