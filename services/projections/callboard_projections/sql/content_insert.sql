insert into cb.call_content (started_at, call_id, organisation, content)
select started_at, call_id, organisation, content from content_incoming
-- In the order of the writer: a table with rows of many sizes is not read in the order in which they came into it.
order by started_at, call_id collate "C", organisation collate "C"
on conflict do nothing
