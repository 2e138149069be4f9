select client_id, redirect_uri, named, state, challenge, scopes, resource, expires_at from cb.oauth_request
where request_hash = $1 and session = $2 and decided_at is not null and expires_at > $3
