select invitation, email from cb.invitation where organisation = $1 and ended_at is null and expires_at > $2
