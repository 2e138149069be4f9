insert into cb.calls_used as u (organisation, day, used)
select organisation, $1, used from unnest($2::text[], $3::bigint[]) as t (organisation, used) order by organisation
on conflict (organisation, day) do update set used = u.used + excluded.used
returning organisation, used
