select rolname from pg_roles where rolname = any($1::text[]) and (rolsuper or rolbypassrls)
