update cb.secret set nonce = $5, ciphertext = $6, key_version = $7
where organisation = $1 and secret = $2 and version = $3 and key_version = $4
