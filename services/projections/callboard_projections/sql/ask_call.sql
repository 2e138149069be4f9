select record from cb.call where organisation = $1 and call_id = $2 order by started_at desc limit $3
