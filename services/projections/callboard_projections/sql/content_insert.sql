insert into cb.call_content (started_at, call_id, organisation, content)
select started_at, call_id, organisation, content from content_incoming
on conflict do nothing
