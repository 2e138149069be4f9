select coalesce(max(version), 0) + 1 from cb.secret where organisation = $1 and secret = $2
