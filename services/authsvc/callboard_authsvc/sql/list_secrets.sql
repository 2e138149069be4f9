select distinct on (secret) secret, version, stored_at
from cb.secret where organisation = $1 order by secret, version desc
