select version, reason, actor, comment, recorded_at, content_digest, tools, rolled_back_to, content
from rm.playbook_version
where organisation = $1 and playbook = $2 and recorded_at <= $3
order by version desc limit 1
