select min(seq) from cb.event where organisation = $1 and seq > $2 and seq <= $3 and type = any($4)
