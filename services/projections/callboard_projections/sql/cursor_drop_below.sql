delete from cb.cursor
where split_part(consumer, '~', 1) = $1 and consumer <> $1 and split_part(consumer, '~', 2)::int < $2
