select h.seq, h.hash,
  (select coalesce(max(c.seq), 0) from cb.cursor c where c.organisation = h.organisation) as read_up_to
from cb.log_head h where h.organisation = $1
