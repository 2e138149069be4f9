with keys as (delete from cb.data_key where organisation = $1),
  secrets as (delete from cb.secret where organisation = $1),
  grants as (delete from cb.upstream_grant where organisation = $1),
  clients as (delete from cb.upstream_client where organisation = $1)
delete from cb.upstream_sign_in where organisation = $1
