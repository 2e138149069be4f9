insert into cb.relay_stream as s (stream, created, last_seq) values ($1, $2, 0)
on conflict (stream) do update set created = excluded.created, last_seq = 0
where s.created <> excluded.created
returning stream
