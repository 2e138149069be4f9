create table {table} (like cb.call including defaults)
