create or replace view rm.definition as
select organisation, digest, kind, server, name, raw, first_seen from rm.definition_{n}
