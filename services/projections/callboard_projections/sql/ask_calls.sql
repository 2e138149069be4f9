select started_at, call_id, organisation, playbook, version, method, server, tool, upstream_name, digest, client, principal,
  era, upstream_era, outcome, error_code, problem, router_us, connector_us, upstream_us, total_us, request_bytes,
  response_bytes, trace_id, connector, replay_of
from cb.call
-- Planned anew with its values each time (see search_plan.sql), so that what is not asked for falls away.
-- The end of a digest is compared for the plan only: two conditions look rare, and a whole day is then read as it lies, in
-- half the time that its key takes.
where organisation = $1 and started_at >= $2 and started_at < $3
  and ($4::timestamptz is null or (started_at, call_id) < ($4, $5::text))
  and ($6::text = '' or playbook = $6)
  and ($7::int = 0 or version = $7)
  and ($8::text = '' or tool = $8)
  and ($9::text = '' or server = $9)
  and ($10::text = '' or client = $10)
  and ($11::text = '' or principal = $11)
  and ($12::text = '' or era = $12)
  and ($13::text = '' or outcome = $13)
  and ($14::text = '' or right(digest, 12) = right($14, 12) and digest = $14)
  and ($15::text = '' or trace_id = $15)
  and ($16::bigint = 0 or total_us >= $16)
order by started_at desc, call_id desc
limit $17
