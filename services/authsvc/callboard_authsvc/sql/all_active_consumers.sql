select organisation, consumer, public_key, admitted_at
from cb.consumer where dismissed_at is null order by organisation, consumer
