select seq from cb.cursor where consumer = $1 and organisation = $2
