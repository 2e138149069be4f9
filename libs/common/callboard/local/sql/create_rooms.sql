create role callboard_rooms login nosuperuser nobypassrls noinherit
