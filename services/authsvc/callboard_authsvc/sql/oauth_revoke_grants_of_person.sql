update cb.oauth_grant g set revoked_at = $2, reason = 'password' where g.member = $1 and g.revoked_at is null
returning g.gid, g.organisation, g.member, g.client_id, g.client_name, g.means, g.playbook, g.resource, g.scopes,
  g.created_at, g.used_at, g.revoked_at, g.reason
