update cb.cursor set seq = 0, updated_at = now() where consumer = 'relay'
