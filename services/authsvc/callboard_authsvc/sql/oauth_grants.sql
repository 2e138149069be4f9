select g.gid, g.organisation, g.member, g.client_id, g.client_name, g.means, g.playbook, g.resource, g.scopes,
  g.created_at, g.used_at, g.revoked_at, g.reason
from cb.oauth_grant g
where ($1 = '' or g.organisation = $1) and ($2 = '' or g.member = $2) and (g.revoked_at is null or g.revoked_at > $3)
  and coalesce(g.used_at, g.created_at) > $4
order by g.created_at desc, g.gid limit 1000
