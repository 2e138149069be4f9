insert into cb.token (
  key_id, organisation, client, verifier, scopes, playbooks, created_at, expires_at, member, person
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
