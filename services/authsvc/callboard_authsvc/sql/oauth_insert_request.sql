insert into cb.oauth_request
  (request_hash, client_id, redirect_uri, named, state, challenge, scopes, resource, expires_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
