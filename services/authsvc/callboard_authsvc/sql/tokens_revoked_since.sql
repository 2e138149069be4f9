select key_id from cb.token where revoked_at >= $1 order by revoked_at
