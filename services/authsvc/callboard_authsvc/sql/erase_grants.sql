-- What this person signed in to at upstream servers, and what they were about to.
with links as (
  delete from cb.upstream_sign_in
  where organisation = $1 and (subject = $2 or starts_with(subject, $2 || '~'))
)
delete from cb.upstream_grant where organisation = $1 and (subject = $2 or starts_with(subject, $2 || '~'))
