-- A person who is or was a member, by id or e-mail address.
select m.member, m.removed_at is null as active
from cb.member m left join cb.person p on p.person = m.member
where m.organisation = $1 and m.kind = 'person' and (m.member = $2 or p.email = lower($2))
