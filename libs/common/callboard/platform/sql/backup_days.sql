select distinct (started_at at time zone 'UTC')::date as day from cb.call order by day
