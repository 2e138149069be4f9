-- By ids and by the tag of a name.
select person, kek_id, wrapped, name, known_since, erased_at
from cb.person_key where organisation = $1 and (person = any($2::text[]) or name_tag = $3)
