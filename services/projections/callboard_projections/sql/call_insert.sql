insert into cb.call (started_at, call_id, organisation, playbook, version, method, server, tool, digest, client, era,
  outcome, total_us, record)
select started_at, call_id, organisation, playbook, version, method, server, tool, digest, client, era,
  outcome, total_us, record
from call_incoming
on conflict do nothing
