insert into rm.pin_{n} (organisation, playbook, client, version, pinned_by, comment, pinned_at)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (organisation, playbook, client) do update set version = excluded.version,
  pinned_by = excluded.pinned_by, comment = excluded.comment, pinned_at = excluded.pinned_at
