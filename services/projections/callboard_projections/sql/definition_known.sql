insert into rm.definition_{n} (organisation, digest, kind, server, name, raw, first_seen)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict do nothing
