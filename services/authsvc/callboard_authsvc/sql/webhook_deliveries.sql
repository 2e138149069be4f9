select seq, kind, attempt, at, status, problem, took_ms
from cb.webhook_delivery where organisation = $1 and webhook = $2 order by id desc limit $3
