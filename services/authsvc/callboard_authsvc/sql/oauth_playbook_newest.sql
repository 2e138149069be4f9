select type from cb.event where organisation = $1 and stream = $2 order by version desc limit 1
