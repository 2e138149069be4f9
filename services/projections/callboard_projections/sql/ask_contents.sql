select call_id, content
from cb.call_content
where organisation = $1 and started_at >= $2 and started_at <= $3 and call_id = any($4::text[])
order by started_at desc, call_id desc
