select state, events, of_events, checksum_before, checksum_after, problem,
  extract(epoch from coalesce(ended_at, now()) - started_at)::float8 as seconds,
  touched_at < now() - make_interval(secs => $2) as gone
from rm.rebuild where projection = $1
