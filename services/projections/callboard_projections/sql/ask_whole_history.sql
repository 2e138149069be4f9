select version, reason, actor, comment, recorded_at, content_digest, rolled_back_to, content
from rm.playbook_version where organisation = $1 and playbook = $2 order by version
