select key_id from cb.token where organisation = $1 and person = $2 order by key_id
