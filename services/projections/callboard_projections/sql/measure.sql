select w.consumer, coalesce(sum(c.seq), 0)::bigint as events,
  coalesce(sum(greatest(h.seq - coalesce(c.seq, 0), 0)), 0)::bigint as lag, p.suffix
from unnest($1::text[]) as w (consumer)
left join cb.log_head h on true
left join cb.cursor c on c.consumer = w.consumer and c.organisation = h.organisation
left join rm.projection p on p.projection = w.consumer
group by w.consumer, p.suffix
