select s.key_id, s.verifier, s.person, s.seen_at, s.expires_at, s.ended_at, p.email, p.name, p.administers
from cb.login_session s join cb.person p on p.person = s.person
where s.key_id = $1
