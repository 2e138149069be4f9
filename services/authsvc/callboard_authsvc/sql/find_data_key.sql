select kek_id, wrapped from cb.data_key where organisation = $1
