select organisation, seq, event_id::text, stream, version, type, schema_version, payload, meta, command_id::text,
  recorded_at
from cb.event where organisation = $1 and stream = $2 and version > $3 order by version
