alter table cb.call attach partition {table} for values from ('{from}') to ('{to}')
