-- It was served now: others that have something to send come before it.
update cb.webhook set lease = null, lease_until = '-infinity', next_attempt_at = now()
where organisation = $1 and webhook = $2 and lease = $3
