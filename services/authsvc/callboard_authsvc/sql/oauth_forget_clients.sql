-- Registered and never used for a day, or not used for long. A few at a time: nobody waits for it.
delete from cb.oauth_client where client_id in (
  select client_id from cb.oauth_client
  where kind = 'dynamic' and created_at <= $1 and (used_at is null or used_at <= $2) limit 100 for update skip locked
)
