insert into cb.webhook_received (id, at) values ($1, $2) on conflict do nothing returning id
