select c.organisation, c.consumer, c.public_key, m.role, m.permissions
from cb.consumer c
left join cb.member m on m.organisation = c.organisation and m.member = c.admitted_by and m.removed_at is null
where c.dismissed_at is null and c.admitted_by <> '' order by c.organisation, c.consumer
