insert into cb.oauth_assertion (digest, expires_at) values ($1, $2) on conflict do nothing returning digest
