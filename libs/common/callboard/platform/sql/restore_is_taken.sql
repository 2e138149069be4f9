select exists (select from cb.log_head) or exists (select from cb.token) or exists (select from cb.call)
