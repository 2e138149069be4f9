update cb.oauth_client set used_at = $2 where client_id = $1
