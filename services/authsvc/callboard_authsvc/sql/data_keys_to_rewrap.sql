select organisation, version, kek_id, wrapped from cb.data_key where kek_id <> $1
