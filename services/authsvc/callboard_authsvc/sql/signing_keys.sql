select kid, x, y, kek_id, wrapped, signs_from from cb.signing_key order by signs_from, kid
