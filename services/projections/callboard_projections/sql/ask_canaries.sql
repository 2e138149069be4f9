select playbook, canary, version, percent, until, condition, min_calls, started_by, comment, started_at
from rm.canary where organisation = $1 and (playbook = $2 or $2 = '') order by playbook
