select digest, kind, server, name, raw, first_seen from rm.definition where organisation = $1 and digest = any($2)
