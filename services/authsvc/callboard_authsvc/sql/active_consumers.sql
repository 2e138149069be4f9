select organisation, consumer, public_key, admitted_at
from cb.consumer where organisation = $1 and dismissed_at is null order by consumer
