delete from cb.upstream_sign_in where expires_at < now() - interval '1 day'
