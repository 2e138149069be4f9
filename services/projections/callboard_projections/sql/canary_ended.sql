delete from rm.canary_{n} where organisation = $1 and playbook = $2
