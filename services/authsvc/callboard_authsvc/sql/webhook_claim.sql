-- An organisation has at most $4 at a time, in all instances together (or a little more, where two claim at once).
-- Whoever has the fewest comes first, then who was served longest ago.
with held as (
  select organisation, count(*) as leases from cb.webhook where lease_until >= now() group by organisation
),
due as (
  select w.organisation, w.webhook, coalesce(leases, 0)
    + row_number() over (partition by w.organisation order by w.next_attempt_at, w.webhook) as place
  from cb.webhook w join cb.log_head h using (organisation) left join held using (organisation)
  where w.state = 'on' and w.next_attempt_at <= now() and w.lease_until < now()
    and (w.position < h.seq or w.replay_next <= w.replay_last)
)
update cb.webhook w set lease = $1, lease_until = now() + make_interval(secs => $2)
where (w.organisation, w.webhook) in (
  select d.organisation, d.webhook from cb.webhook d join due using (organisation, webhook)
  where due.place <= $4 and d.state = 'on' and d.next_attempt_at <= now() and d.lease_until < now()
  order by due.place, d.next_attempt_at limit $3 for update of d skip locked
)
returning w.organisation, w.webhook, w.url, w.kinds, w.position, w.replay_next, w.replay_last, w.failures,
  w.old_secret_until > now() as both
