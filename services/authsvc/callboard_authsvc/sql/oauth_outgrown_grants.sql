select g.gid, g.organisation, g.member, g.client_id, g.client_name, g.means, g.playbook, g.resource, g.scopes,
  g.created_at, g.used_at, g.revoked_at, g.reason
from cb.oauth_grant g
where g.client_id = $1 and g.member = $2 and g.organisation = $3 and g.resource = $4 and g.means = 'consent'
  and g.revoked_at is null and g.created_at < $5 and g.scopes <@ $6 and not g.scopes @> $6
