create role {role} nologin nosuperuser nobypassrls noinherit
