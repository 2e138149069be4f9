select organisation, member from cb.member where changed_at >= $1 order by changed_at
