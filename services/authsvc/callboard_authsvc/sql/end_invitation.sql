update cb.invitation set ended_at = $3, email = '' where organisation = $1 and invitation = $2 and ended_at is null
