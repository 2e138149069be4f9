update cb.upstream_sign_in set state_hash = $2, sealed = $3 where handle = $1 and expires_at > now() returning handle
