update cb.cursor set consumer = $2 where consumer = $1
