insert into cb.call (started_at, call_id, organisation, playbook, version, method, server, tool, upstream_name,
  digest, client, principal, era, upstream_era, outcome, error_code, problem, router_us, connector_us, upstream_us,
  total_us, request_bytes, response_bytes, trace_id, connector, replay_of)
select started_at, call_id, organisation, playbook, version, method, server, tool, upstream_name, digest, client,
  principal, era, upstream_era, outcome, error_code, problem, router_us, connector_us, upstream_us, total_us,
  request_bytes, response_bytes, trace_id, connector, replay_of
from call_incoming
-- In the order of the writer: a table with rows of many sizes is not read in the order in which they came into it.
order by started_at, call_id collate "C", organisation collate "C"
on conflict do nothing
