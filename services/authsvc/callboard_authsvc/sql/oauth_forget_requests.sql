delete from cb.oauth_request where request_hash in (
  select request_hash from cb.oauth_request where expires_at < $1 limit 100 for update skip locked
)
