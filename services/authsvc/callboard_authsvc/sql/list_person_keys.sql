select person, kek_id, wrapped, name, known_since, erased_at
from cb.person_key where organisation = $1 order by known_since, person
