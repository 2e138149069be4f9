select role from unnest($1::text[]) as wanted (role) where not pg_has_role(current_user, role, 'SET')
