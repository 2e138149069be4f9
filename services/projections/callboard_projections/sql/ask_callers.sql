select tool, client, count(*) as calls from cb.call
where organisation = $1 and playbook = $2 and tool = any($3) and started_at > now() - make_interval(days => $4)
  and replay_of = ''
group by tool, client order by calls desc, client
