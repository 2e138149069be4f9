insert into cb.webhook (organisation, webhook, url, kinds, state, position)
select $1, $2, $3, $4, 'on', h.seq from cb.log_head h where h.organisation = $1
