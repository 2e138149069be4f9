select client, version, count(*) as calls from cb.call
where organisation = $1 and playbook = $2 and started_at > now() - make_interval(mins => $3) and replay_of = ''
group by client, version order by calls desc, client
