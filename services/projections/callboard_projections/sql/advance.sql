update cb.cursor set seq = $3, updated_at = now() where consumer = $1 and organisation = $2
