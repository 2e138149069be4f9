select organisation, person, kek_id, wrapped, name, known_since, erased_at
from cb.person_key where wrapped is not null and kek_id <> $1
