select count(*) from cb.webhook where state = 'disabled'
