select m.organisation, m.member, m.kind, m.role, m.permissions, m.since,
  coalesce(p.email, '') as email, coalesce(p.name, '') as name
from cb.member m left join cb.person p on p.person = m.member
where m.organisation = $1 and m.removed_at is null
order by m.since, m.member
