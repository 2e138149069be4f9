select g.gid, g.organisation, g.member, g.client_id, g.client_name, g.means, g.playbook, g.resource, g.scopes,
  g.created_at, g.used_at, g.revoked_at, g.reason
from cb.oauth_grant g where g.gid = $1
