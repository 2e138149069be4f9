update cb.webhook set old_secret_until = now() + make_interval(secs => $3)
where organisation = $1 and webhook = $2
