select version, reason, actor, comment, recorded_at, content_digest, tools, rolled_back_to
from rm.playbook_version where organisation = $1 and playbook = $2 order by version desc
