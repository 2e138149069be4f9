insert into rm.definition_{n} (organisation, digest, kind, server, name, raw, first_seen)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
on conflict do nothing
