create table rm.playbook_{n} (
  organisation text not null,
  playbook text not null,
  title text not null,
  version bigint not null,
  access text not null,
  servers text[] not null,
  tools int not null,
  changed_at timestamptz not null,
  changed_by text not null,
  retired boolean not null,
  primary key (organisation, playbook)
);
create table rm.playbook_version_{n} (
  organisation text not null,
  playbook text not null,
  version bigint not null,
  reason text not null,
  actor text not null,
  comment text not null,
  recorded_at timestamptz not null,
  content_digest text not null,
  tools int not null,
  rolled_back_to bigint,
  seq bigint not null,
  content json not null,
  primary key (organisation, playbook, version)
)
