select t.key_id, t.organisation, t.client, t.verifier, t.scopes, t.playbooks, t.created_at, t.expires_at, t.revoked_at,
  t.member, t.used_at, t.replaced_by, m.role, m.permissions
from cb.token t
left join cb.member m on m.organisation = t.organisation and m.member = t.member and m.removed_at is null
where t.key_id = $1
