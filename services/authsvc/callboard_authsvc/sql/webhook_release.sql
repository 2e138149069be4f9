update cb.webhook set lease = null, lease_until = '-infinity' where organisation = $1 and webhook = $2 and lease = $3
