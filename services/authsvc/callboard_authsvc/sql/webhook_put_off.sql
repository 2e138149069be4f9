update cb.webhook set failures = failures + 1, failing_since = coalesce(failing_since, now()), problem = $5,
  next_attempt_at = now() + make_interval(secs => $4), lease = null, lease_until = '-infinity'
where organisation = $1 and webhook = $2 and lease = $3
returning extract(epoch from now() - failing_since)::float8 as failing
