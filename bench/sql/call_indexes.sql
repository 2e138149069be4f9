select c.relname::text as name from pg_index i join pg_class c on c.oid = i.indexrelid
where i.indrelid = 'cb.call'::regclass and not i.indisprimary order by name
