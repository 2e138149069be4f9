delete from cb.webhook where organisation = $1 and webhook = $2
