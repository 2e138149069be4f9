create table cb.{partition} (like cb.{parent} including defaults);
alter table cb.{parent} attach partition cb.{partition} for values from ('{from}') to ('{to}')
