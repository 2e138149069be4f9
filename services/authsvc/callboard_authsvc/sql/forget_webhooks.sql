delete from cb.webhook_received where at < $1
