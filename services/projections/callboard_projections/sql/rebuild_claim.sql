insert into rm.rebuild as r (projection, token, suffix, state, of_events)
select p.projection, $2, p.suffix + 1, 'running', (select coalesce(sum(seq), 0) from cb.log_head)
from rm.projection p where p.projection = $1
on conflict (projection) do update set token = excluded.token,
  suffix = greatest(excluded.suffix, r.suffix + 1), state = 'running', events = 0, of_events = excluded.of_events,
  started_at = now(), touched_at = now(), ended_at = null, checksum_before = '', checksum_after = '', problem = ''
where r.state <> 'running' or r.token = excluded.token or r.touched_at < now() - make_interval(secs => $3)
returning suffix
