update cb.webhook w set replay_next = $3, replay_last = least($4, h.seq)
from cb.log_head h where w.organisation = $1 and w.webhook = $2 and h.organisation = w.organisation
