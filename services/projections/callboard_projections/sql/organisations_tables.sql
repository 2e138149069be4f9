create table rm.organisation_{n} (
  organisation text primary key,
  title text not null,
  created_at timestamptz not null
)
