update cb.oauth_code set used_at = $2 where verifier = $1 and used_at is null and expires_at > $2 returning gid
