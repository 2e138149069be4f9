select r.generation, r.expires_at as ends_at, child.first_used_at as followed_at, g.gid, g.organisation, g.member, g.client_id, g.client_name, g.means, g.playbook, g.resource, g.scopes,
  g.created_at, g.used_at, g.revoked_at, g.reason
from cb.oauth_refresh r
join cb.oauth_grant g on g.gid = r.gid
left join cb.oauth_refresh child on child.gid = r.gid and child.generation = r.generation + 1
where r.verifier = $1
