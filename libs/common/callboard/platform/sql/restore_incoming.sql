create temporary table incoming_{table} (like cb.{table} including defaults) on commit drop
