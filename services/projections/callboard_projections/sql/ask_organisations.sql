select o.organisation, o.title, h.seq, o.created_at
from rm.organisation o join cb.log_head h using (organisation)
order by o.organisation
