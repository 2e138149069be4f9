select record from cb.call
where organisation = $1 and started_at > now() - interval '24 hours' and ($2 = '' or playbook = $2)
order by started_at desc limit $3
