select cb.wall($1::text::regclass)
