update cb.consumer set dismissed_at = $3 where organisation = $1 and consumer = $2 and dismissed_at is null
