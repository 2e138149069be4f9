update cb.oauth_grant set revoked_at = $3, reason = 'member_removed'
where organisation = $1 and member = $2 and revoked_at is null
