insert into cb.member (organisation, member, kind, role, permissions, since, changed_at)
values ($1, $2, $3, $4, $5, $6, $6)
on conflict (organisation, member) do update
  set kind = excluded.kind, role = excluded.role, permissions = excluded.permissions, since = excluded.since,
    changed_at = excluded.changed_at, removed_at = null
