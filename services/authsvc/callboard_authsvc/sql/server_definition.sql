select type, schema_version, payload from cb.event
where organisation = $1 and stream = $2 and type in ('server.registered', 'server.reconfigured', 'server.retired')
order by version desc limit 1
