select organisation, secret, version, nonce, ciphertext, stored_at, key_version
from cb.secret where organisation = $1 and secret = $2 order by version desc limit $3
