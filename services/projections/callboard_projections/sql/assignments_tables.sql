create table rm.pin_{n} (
  organisation text not null,
  playbook text not null,
  client text not null,
  version bigint not null,
  pinned_by text not null,
  comment text not null,
  pinned_at timestamptz not null,
  primary key (organisation, playbook, client)
)
