delete from cb.login_attempt where ctid in (
  select ctid from cb.login_attempt where at < $1 limit 100 for update skip locked
)
