insert into rm.server_{n} (organisation, server, definition) values ($1, $2, $3)
on conflict (organisation, server) do update set definition = excluded.definition, tools = 0, prompts = 0,
  resources = 0, catalogue_digest = '', discovered_at = null, quarantined = '[]'
