update rm.rebuild set events = $3, of_events = $4, touched_at = clock_timestamp()
where projection = $1 and token = $2 and state = 'running'
returning token
