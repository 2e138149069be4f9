select seq, event_id, stream, version, type, schema_version, payload, meta, command_id, recorded_at, prev_hash, hash
from cb.event where organisation = $1 order by seq
