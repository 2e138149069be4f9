select seq from cb.log_head where organisation = $1
