select organisation, role, permissions from cb.member where member = $1 and removed_at is null order by organisation
