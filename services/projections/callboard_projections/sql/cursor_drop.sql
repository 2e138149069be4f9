delete from cb.cursor where consumer = $1
