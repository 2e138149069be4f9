with added as (
  insert into cb.webhook_delivery (organisation, webhook, seq, kind, attempt, at, status, problem, took_ms)
  select w.organisation, w.webhook, $3, $4, $5, $6, $7, $8, $9 from cb.webhook w where w.organisation = $1 and w.webhook = $2
)
delete from cb.webhook_delivery d where d.organisation = $1 and d.webhook = $2 and d.id <= (
  select o.id from cb.webhook_delivery o where o.organisation = $1 and o.webhook = $2 order by o.id desc offset $10 limit 1
)
