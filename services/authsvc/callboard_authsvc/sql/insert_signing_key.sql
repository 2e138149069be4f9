insert into cb.signing_key (kid, x, y, kek_id, wrapped, signs_from) values ($1, $2, $3, $4, $5, $6)
