update cb.data_key set kek_id = $4, wrapped = $5 where organisation = $1 and version = $2 and wrapped = $3
