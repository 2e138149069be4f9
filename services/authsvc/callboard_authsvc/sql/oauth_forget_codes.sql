delete from cb.oauth_code where verifier in (
  select verifier from cb.oauth_code where expires_at < $1 limit 100 for update skip locked
)
