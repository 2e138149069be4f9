create temporary table if not exists call_incoming (like cb.call) on commit delete rows
