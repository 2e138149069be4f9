lock table cb.log_head in exclusive mode
