select playbook, client, version, pinned_by, comment, pinned_at
from rm.pin where organisation = $1 and (playbook = $2 or $2 = '') order by playbook, client
