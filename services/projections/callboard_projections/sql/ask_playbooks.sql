select playbook, title, version, access, servers, tools, changed_at, changed_by, retired
from rm.playbook where organisation = $1 order by playbook
