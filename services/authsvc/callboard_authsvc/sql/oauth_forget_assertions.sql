delete from cb.oauth_assertion where digest in (
  select digest from cb.oauth_assertion where expires_at < $1 limit 100 for update skip locked
)
