insert into cb.cursor (consumer, organisation) values ($1, $2) on conflict do nothing
