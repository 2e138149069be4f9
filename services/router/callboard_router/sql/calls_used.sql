select used from cb.calls_used where organisation = $1 and day = $2
