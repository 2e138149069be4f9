select organisation from cb.log_head where seq > 0 union select organisation from cb.stream order by organisation
