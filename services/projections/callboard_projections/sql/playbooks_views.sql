create or replace view rm.playbook as
select organisation, playbook, title, version, access, servers, tools, changed_at, changed_by, retired
from rm.playbook_{n};
create or replace view rm.playbook_version as
select organisation, playbook, version, reason, actor, comment, recorded_at, content_digest, tools, rolled_back_to,
  seq, content
from rm.playbook_version_{n}
