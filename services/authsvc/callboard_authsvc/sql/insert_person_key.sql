insert into cb.person_key (organisation, person, kek_id, wrapped, name_tag, name, known_since)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (organisation, name_tag) where name_tag is not null do nothing
