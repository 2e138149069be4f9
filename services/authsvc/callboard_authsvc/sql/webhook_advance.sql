-- A replay that another one replaced meanwhile ($6 is where it was to end) moves nothing.
update cb.webhook set position = greatest($4, position), replay_next = coalesce($5, replay_next), failures = 0,
  failing_since = null, problem = '', lease_until = now() + make_interval(secs => $7)
where organisation = $1 and webhook = $2 and lease = $3 and ($5::bigint is null or replay_last = $6)
returning old_secret_until > now() as both, state = 'on' as goes_on
