-- What edges may have cached because of this member.
select key_id, false as session, revoked_at is not null as ended
from cb.token where organisation = $1 and member = $2 and (revoked_at is null or revoked_at >= $3)
union all
select gid, false, revoked_at is not null
from cb.oauth_grant where organisation = $1 and member = $2 and (revoked_at is null or revoked_at >= $3)
union all
select key_id, true, false from cb.login_session where person = $2 and ended_at is null and expires_at > $3
