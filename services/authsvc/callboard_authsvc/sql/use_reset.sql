update cb.password_reset set used_at = $2 where key_id = $1 and used_at is null and expires_at > $2 returning person
