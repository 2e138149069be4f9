select c.started_at, c.call_id, c.organisation, c.playbook, c.version, c.method, c.server, c.tool, c.upstream_name,
  c.digest, c.client, c.principal, c.era, c.upstream_era, c.outcome, c.error_code, c.problem, c.router_us,
  c.connector_us, c.upstream_us, c.total_us, c.request_bytes, c.response_bytes, c.trace_id, c.connector, c.replay_of,
  k.content
from cb.call c
left join cb.call_content k
  on k.organisation = c.organisation and k.started_at = c.started_at and k.call_id = c.call_id
where c.organisation = $1 and c.started_at >= $2 and c.started_at < $3 and c.call_id = $4
