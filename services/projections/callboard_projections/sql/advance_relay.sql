-- Only for the stream that acknowledged: one that was created since holds nothing yet.
with filled as (
  update cb.relay_stream set last_seq = greatest(last_seq, $4) where stream = $5 and created = $3 returning 1
)
insert into cb.cursor as c (consumer, organisation, seq) select 'relay', $1, $2 from filled
on conflict (consumer, organisation) do update set seq = greatest(c.seq, excluded.seq), updated_at = now()
