create table if not exists cb.{name} partition of cb.{parent}
for values from ('{day} 00:00:00+00') to (timestamptz '{day} 00:00:00+00' + interval '1 day')
