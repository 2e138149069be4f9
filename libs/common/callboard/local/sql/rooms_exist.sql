select exists (select from pg_roles where rolname = 'callboard_rooms')
