select c.relname::text as partition from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent in ('cb.call'::regclass, 'cb.call_content'::regclass)
