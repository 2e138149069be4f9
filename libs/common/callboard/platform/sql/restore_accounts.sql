-- With sessions and links for another password. Not while somebody else knows the person, or an administrator.
delete from cb.person p where p.person = $2 and not p.administers and not exists (
  select 1 from cb.member m where m.member = $2 and m.organisation <> $1 and m.removed_at is null
)
