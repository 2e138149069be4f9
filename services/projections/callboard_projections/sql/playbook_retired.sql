update rm.playbook_{n} set retired = true, changed_at = $3, changed_by = $4
where organisation = $1 and playbook = $2
