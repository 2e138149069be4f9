select organisation, seq, event_id, stream, version, type, schema_version, payload, meta, command_id, recorded_at
from cb.event where organisation = $1 and seq > $2 and seq <= $3 and type = any($4) order by seq
