select version, count(*) as calls,
  count(*) filter (where outcome in ('error', 'timeout', 'unknown')) as errors,
  count(*) filter (where outcome = 'tool_error') as tool_errors,
  count(*) filter (where outcome = 'timeout') as timeouts,
  percentile_disc(0.99) within group (order by total_us) / 1000.0 as p99
from cb.call where organisation = $1 and playbook = $2 and started_at >= $3 and replay_of = ''
group by version
