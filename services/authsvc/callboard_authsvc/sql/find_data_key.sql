select version, kek_id, wrapped from cb.data_key where organisation = $1 and ($2::int is null or version = $2)
order by version desc limit 1
