insert into rm.playbook_version_{n} (organisation, playbook, version, reason, actor, comment, recorded_at,
  content_digest, tools, rolled_back_to, seq, content)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
