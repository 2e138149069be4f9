delete from cb.upstream_sign_in where state_hash = $1
returning organisation, server, subject, sealed, expires_at > now() as open
