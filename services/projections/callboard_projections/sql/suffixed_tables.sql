select array_agg(tablename::text) from pg_tables where schemaname = 'rm' and tablename ~ ('^' || $1 || '_[0-9]+$')
