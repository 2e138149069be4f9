insert into rm.organisation_{n} (organisation, title, created_at) values ($1, $2, $3)
on conflict (organisation) do update set title = excluded.title
