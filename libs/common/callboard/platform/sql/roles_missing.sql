select role from unnest($1::text[]) as wanted (role)
where not exists (select from pg_roles r where r.rolname = role)
