select webhook, url, kinds, state, position, failures,
  case when failures > 0 and state = 'on' then next_attempt_at end as next_attempt_at, problem
from cb.webhook where organisation = $1 order by webhook
