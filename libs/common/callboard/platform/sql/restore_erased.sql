update cb.person_key set kek_id = null, wrapped = null, name_tag = null, name = '', erased_at = now()
where organisation = $1 and person = $2 and erased_at is null
returning true
