insert into cb.oauth_grant
  (gid, organisation, member, client_id, client_name, means, playbook, resource, scopes, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
