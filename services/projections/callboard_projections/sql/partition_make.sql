create table cb.{partition} (like cb.call including defaults);
alter table cb.call attach partition cb.{partition} for values from ('{from}') to ('{to}')
