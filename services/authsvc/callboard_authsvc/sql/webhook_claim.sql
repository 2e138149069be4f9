update cb.webhook w set lease = $1, lease_until = now() + make_interval(secs => $2)
where (w.organisation, w.webhook) in (
  select d.organisation, d.webhook from cb.webhook d join cb.log_head h using (organisation)
  where d.state = 'on' and d.next_attempt_at <= now() and d.lease_until < now()
    and (d.position < h.seq or d.replay_next <= d.replay_last)
  order by d.next_attempt_at limit $3 for update of d skip locked
)
returning w.organisation, w.webhook, w.url, w.kinds, w.position, w.replay_next, w.replay_last, w.failures,
  w.old_secret_until > now() as both
