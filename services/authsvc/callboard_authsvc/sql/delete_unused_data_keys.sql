delete from cb.data_key k
where organisation = $1 and retired_at < now() - make_interval(secs => $2)
  and not exists (select 1 from cb.secret s where s.organisation = k.organisation and s.key_version = k.version)
  and not exists (select 1 from cb.upstream_grant g where g.organisation = k.organisation
    and substring(g.sealed from 2 for 4) = int4send(k.version))
  and not exists (select 1 from cb.upstream_client c where c.organisation = k.organisation
    and substring(c.sealed from 2 for 4) = int4send(k.version))
