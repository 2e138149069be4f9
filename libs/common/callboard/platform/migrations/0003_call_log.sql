-- Call records, one partition a day (made by projections ahead of time); filled by COPY through a staging table.
create table cb.call (
  started_at timestamptz not null,
  call_id text not null,
  organisation text not null,
  playbook text not null,
  version int not null,
  method text not null,
  server text not null,
  tool text not null,
  digest text not null,
  client text not null,
  era text not null,
  outcome text not null,
  total_us bigint not null,
  record text not null,
  primary key (started_at, call_id)
) partition by range (started_at);
create index call_recent on cb.call (organisation, started_at desc);
create index call_by_id on cb.call (call_id);
