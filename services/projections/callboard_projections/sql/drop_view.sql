drop view if exists rm.{table}
