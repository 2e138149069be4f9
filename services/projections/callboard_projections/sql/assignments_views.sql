create or replace view rm.pin as
select organisation, playbook, client, version, pinned_by, comment, pinned_at
from rm.pin_{n};
create or replace view rm.canary as
select organisation, playbook, canary, version, percent, until, condition, min_calls, started_by, comment, started_at
from rm.canary_{n}
