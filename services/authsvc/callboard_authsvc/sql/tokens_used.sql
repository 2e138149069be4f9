update cb.token t set used_at = u.used_at
from unnest($1::text[], $2::timestamptz[]) as u (key_id, used_at)
where t.key_id = u.key_id and (t.used_at is null or t.used_at < u.used_at)
