update cb.oauth_refresh set first_used_at = coalesce(first_used_at, $2) where verifier = $1
