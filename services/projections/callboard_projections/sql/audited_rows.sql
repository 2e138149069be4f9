select seq, event_id, stream, version, type, schema_version, payload, meta, command_id, recorded_at, prev_hash, hash
from cb.event where organisation = $1 and seq > $2 and seq <= $3 order by seq
