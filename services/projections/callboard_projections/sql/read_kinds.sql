-- Those of the kinds $4 in ($2, $3] that nobody has the projection $6 skip; the last one is the first with which they
-- are $5 bytes or more.
select organisation, seq, event_id, stream, version, type, schema_version, payload, meta, command_id, recorded_at, bytes
from (
  select organisation, seq, event_id::text, stream, version, type, schema_version, payload, meta, command_id::text,
    recorded_at, sum(octet_length(payload)) over (order by seq) as bytes, octet_length(payload) as own
  from cb.event where organisation = $1 and seq > $2 and seq <= $3 and type = any($4)
    and seq not in (
      select p.seq from cb.poison_event p where p.projection = $6 and p.organisation = $1 and p.state = 'skipped'
    )
) as e
where bytes - own < $5 order by seq
