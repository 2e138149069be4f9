-- What a member signed in to at upstream servers, and was about to: whoever has the name later is somebody else.
with links as (
  delete from cb.upstream_sign_in where organisation = $1 and subject = $2
)
delete from cb.upstream_grant where organisation = $1 and subject = $2
