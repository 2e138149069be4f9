update cb.cursor set seq = least(seq, $2), updated_at = now() where consumer = 'relay' and organisation = $1
