select organisation, server, subject, challenge from cb.upstream_sign_in where handle = $1 and expires_at > now()
