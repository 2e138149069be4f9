select column_name from information_schema.columns where table_schema = 'cb' and table_name = $1
order by ordinal_position
