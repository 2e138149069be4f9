select organisation, seq, hash from cb.log_head where seq > 0 order by organisation
