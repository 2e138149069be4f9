insert into cb.oauth_refresh (verifier, gid, generation, expires_at) values ($1, $2, $3, $4)
on conflict do nothing
