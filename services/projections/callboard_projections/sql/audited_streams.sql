select stream, version from cb.stream where organisation = $1
