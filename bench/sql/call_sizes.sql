-- Bytes of the table itself and of each index, over all days.
select coalesce(parent.relname, 'table') as name, sum(pg_relation_size(part.oid))::bigint as bytes
from pg_inherits days
join pg_class day on day.oid = days.inhrelid
join lateral (
  select day.oid, null::oid as parent
  union all
  select i.indexrelid, h.inhparent from pg_index i left join pg_inherits h on h.inhrelid = i.indexrelid
  where i.indrelid = day.oid
) as part on true
left join pg_class parent on parent.oid = part.parent
where days.inhparent = 'cb.call'::regclass
group by parent.relname
order by bytes desc
