-- `events show ID`. The ids begin with their time, so the index grows at its end.
create index event_by_id on cb.event (event_id);
