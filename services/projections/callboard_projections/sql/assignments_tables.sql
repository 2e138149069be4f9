create table rm.pin_{n} (
  organisation text not null,
  playbook text not null,
  client text not null,
  version bigint not null,
  pinned_by text not null,
  comment text not null,
  pinned_at timestamptz not null,
  primary key (organisation, playbook, client)
);
create table rm.canary_{n} (
  organisation text not null,
  playbook text not null,
  canary text not null,
  version bigint not null,
  percent double precision not null,
  until timestamptz not null,
  condition text not null,
  min_calls bigint not null,
  started_by text not null,
  comment text not null,
  started_at timestamptz not null,
  primary key (organisation, playbook)
)
