select distinct on (secret) organisation, secret, version, nonce, ciphertext, stored_at, key_version
from cb.secret where organisation = $1 and secret = any($2::text[]) order by secret, version desc
