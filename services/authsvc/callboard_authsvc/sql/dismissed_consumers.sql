select organisation, consumer, public_key, admitted_at
from cb.consumer where organisation = $1 and consumer = $2 and dismissed_at is not null order by admitted_at
