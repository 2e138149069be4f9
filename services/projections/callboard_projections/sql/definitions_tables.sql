create table rm.definition_{n} (
  organisation text not null,
  digest text not null,
  kind text not null,
  server text not null,
  name text not null,
  raw text not null,
  first_seen timestamptz not null,
  primary key (organisation, digest)
)
