select organisation, consumer from cb.consumer where dismissed_at is null order by organisation, consumer
