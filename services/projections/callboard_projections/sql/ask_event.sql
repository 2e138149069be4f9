select organisation, seq, event_id::text, stream, version, type, schema_version, payload, meta, command_id::text,
  recorded_at, encode(prev_hash, 'hex') as prev_hash, encode(hash, 'hex') as hash
from cb.event where organisation = $1 and (seq = $2 or event_id = $3)
