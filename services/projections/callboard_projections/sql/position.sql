select h.seq as head, coalesce(c.seq, 0) as at
from cb.log_head h left join cb.cursor c on c.consumer = $1 and c.organisation = h.organisation
where h.organisation = $2 and h.seq > 0
