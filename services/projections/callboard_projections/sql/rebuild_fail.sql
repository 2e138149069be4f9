update rm.rebuild set state = 'failed', ended_at = clock_timestamp(), problem = $3
where projection = $1 and token = $2 and state = 'running'
