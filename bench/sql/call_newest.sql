select max(started_at) as newest, count(*) as calls from cb.call
