select organisation, seq, event_id::text, stream, version, type, schema_version, payload, meta, command_id::text,
  recorded_at
from cb.event where organisation = $1 and seq > $2 and ($4::text[] is null or type = any($4)) order by seq limit $3
