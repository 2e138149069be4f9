select distinct to_char(started_at at time zone 'UTC', 'YYYY-MM-DD') as day from cb.call order by day
