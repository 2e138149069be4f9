update cb.token set replaced_by = $3, expires_at = least(coalesce(expires_at, $4), $4)
where organisation = $1 and key_id = $2
