update rm.server_{n} set tools = $3, prompts = $4, resources = $5, catalogue_digest = $6, discovered_at = $7,
  quarantined = $8
where organisation = $1 and server = $2
