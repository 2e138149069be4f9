delete from rm.pin_{n} where organisation = $1 and playbook = $2 and client = $3
