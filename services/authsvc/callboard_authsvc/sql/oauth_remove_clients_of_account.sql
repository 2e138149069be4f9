update cb.oauth_client set removed_at = $3 where organisation = $1 and account = $2 and removed_at is null
