create or replace view rm.organisation as
select organisation, title, created_at from rm.organisation_{n}
