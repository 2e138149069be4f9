select url, old_secret_until > now() as both from cb.webhook where organisation = $1 and webhook = $2
