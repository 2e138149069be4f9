insert into rm.playbook_{n} (organisation, playbook, title, version, access, servers, tools, changed_at, changed_by,
  retired)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, false)
on conflict (organisation, playbook) do update set title = excluded.title, version = excluded.version,
  access = excluded.access, servers = excluded.servers, tools = excluded.tools, changed_at = excluded.changed_at,
  changed_by = excluded.changed_by, retired = false
