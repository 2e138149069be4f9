-- Whoever sends at this moment sees it after its answer, so that this one is not sent twice.
update cb.webhook set state = $3, next_attempt_at = '-infinity',
  failures = case when $3 = 'on' then 0 else failures end,
  failing_since = case when $3 = 'on' then null else failing_since end,
  problem = case when $3 = 'on' then '' else problem end
where organisation = $1 and webhook = $2
