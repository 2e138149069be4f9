insert into rm.canary_{n} (organisation, playbook, canary, version, percent, until, condition, min_calls, started_by,
  comment, started_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
on conflict (organisation, playbook) do update set canary = excluded.canary, version = excluded.version,
  percent = excluded.percent, until = excluded.until, condition = excluded.condition, min_calls = excluded.min_calls,
  started_by = excluded.started_by, comment = excluded.comment, started_at = excluded.started_at
