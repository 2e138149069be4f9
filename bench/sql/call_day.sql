-- One day of call records, as a busy organisation would leave them: $1 the day, $2 how many, $3 the organisation.
-- The table is no partition yet: its indexes are built when it becomes one, which is faster.
insert into {table} (started_at, call_id, organisation, playbook, version, method, server, tool, upstream_name, digest,
  client, principal, era, upstream_era, outcome, error_code, problem, router_us, connector_us, upstream_us, total_us,
  request_bytes, response_bytes, trace_id, connector)
select at, lpad(to_hex((extract(epoch from at) * 1000)::bigint), 11, '0') || '9f3ac210' || lpad(to_hex(n), 6, '0'), $3,
  'playbook-' || (tool % 40), 1 + (extract(day from at)::int + tool) % 7, 'tools/call', 'server-' || (tool % 30),
  'server-' || (tool % 30) || '__tool_' || tool, 'tool_' || tool,
  'sha256:' || encode(sha256(convert_to(tool || ' ' || (extract(day from at)::int + tool) % 7, 'UTF8')), 'hex'),
  'client-' || client, 'key' || lpad(to_hex(client * 7919), 12, '0'),
  case when client % 10 < 7 then '2026-07-28' else '2025-11-25' end, case tool % 3 when 0 then '2026-07-28' else
  '2025-11-25' end, outcome, case outcome when 'error' then -32000 end,
  case outcome when 'timeout' then 'call.deadline_exceeded' when 'refused' then 'argument.invalid' else '' end,
  200, 150, took, took + 600, 120 + n % 900, 300 + n % 5000,
  substr(md5(n::text || at::text), 1, 32), 'connectors-1'
from (
  select n, $1::timestamptz + n * (interval '1 day' / $2) as at, floor(power(random(), 2) * 400)::int as tool,
    floor(power(random(), 3) * 200)::int as client, (5000 * power(random() + 0.05, -1.3))::bigint as took,
    (array['tool_error', 'tool_error', 'error', 'timeout', 'refused'])[1 + floor(random() * 150)::int] as failed
  from generate_series(0, $2 - 1) as n
) as drawn, lateral (select coalesce(failed, 'ok') as outcome) as ended
