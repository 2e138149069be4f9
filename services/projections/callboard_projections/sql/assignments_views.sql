create or replace view rm.pin as
select organisation, playbook, client, version, pinned_by, comment, pinned_at
from rm.pin_{n}
