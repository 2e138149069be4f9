update cb.member set role = $3, permissions = $4, changed_at = $5 where organisation = $1 and member = $2
