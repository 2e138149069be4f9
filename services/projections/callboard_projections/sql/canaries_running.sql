select organisation, playbook, canary, version, percent, until, condition, min_calls, started_by, comment, started_at
from rm.canary order by organisation, playbook
