drop table if exists rm.{table}
