update cb.member set removed_at = $3, changed_at = $3 where organisation = $1 and member = $2
