select distinct organisation, consumer from cb.consumer as gone
where dismissed_at > now() - interval '7 days' and not exists (
  select from cb.consumer as here
  where here.organisation = gone.organisation and here.consumer = gone.consumer and here.dismissed_at is null
)
