update cb.oauth_request set session = $2
where request_hash = $1 and session in ('', $2) and decided_at is null and expires_at > $3
returning client_id, redirect_uri, named, state, challenge, scopes, resource, expires_at
