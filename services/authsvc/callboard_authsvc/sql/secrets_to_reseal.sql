select organisation, secret, version, nonce, ciphertext, stored_at, key_version
from cb.secret where organisation = $1 and key_version < $2 limit 200
