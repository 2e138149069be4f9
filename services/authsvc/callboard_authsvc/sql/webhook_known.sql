select id from cb.webhook_received where id = $1
