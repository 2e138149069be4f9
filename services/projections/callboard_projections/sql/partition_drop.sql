drop table if exists cb.{partition}
