select c.redirect_uri, c.named, c.challenge, c.expires_at as ends_at, c.used_at as spent_at, g.gid, g.organisation, g.member, g.client_id, g.client_name, g.means, g.playbook, g.resource, g.scopes,
  g.created_at, g.used_at, g.revoked_at, g.reason
from cb.oauth_code c join cb.oauth_grant g on g.gid = c.gid
where c.verifier = $1
