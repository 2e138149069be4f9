insert into cb.poison_event as p (projection, organisation, seq, type, reason)
select $1, $2, $3, e.type, $4 from cb.event e where e.organisation = $2 and e.seq = $3
on conflict (projection, organisation, seq) do update
set reason = excluded.reason, attempts = p.attempts + 1, last_at = now(), state = case p.state when 'skipped' then 'skipped' else 'stopped' end
