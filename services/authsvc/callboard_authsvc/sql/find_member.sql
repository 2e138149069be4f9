select organisation, member, kind, role, permissions, since, '' as email, '' as name
from cb.member where organisation = $1 and member = $2 and removed_at is null
