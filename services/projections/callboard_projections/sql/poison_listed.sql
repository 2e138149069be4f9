select p.projection, p.organisation, p.seq, p.type as event_type, p.reason, p.state, p.attempts, p.first_at,
  p.decided_by as actor, p.comment
from cb.poison_event p
left join cb.cursor c on c.consumer = p.projection and c.organisation = p.organisation
where p.state in ('skipped', 'due') or (p.state = 'stopped' and p.seq > coalesce(c.seq, 0))
order by p.projection, p.organisation, p.seq
