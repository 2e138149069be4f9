select seq, hash from cb.log_head where organisation = $1 and seq > 0
