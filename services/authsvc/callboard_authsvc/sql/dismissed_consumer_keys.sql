select public_key, dismissed_at from cb.consumer where dismissed_at is not null
