insert into cb.oauth_code (verifier, gid, redirect_uri, named, challenge, expires_at) values ($1, $2, $3, $4, $5, $6)
