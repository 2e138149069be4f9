delete from cb.secret where organisation = $1 and secret = $2 and version < $3
