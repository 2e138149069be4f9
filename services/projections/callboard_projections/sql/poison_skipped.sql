update cb.poison_event set state = 'skipped', decided_by = $4, comment = $5, decided_at = now()
where projection = $1 and organisation = $2 and seq = $3 and state in ('stopped', 'due', 'skipped')
returning state
