create table rm.server_{n} (
  organisation text not null,
  server text not null,
  definition json not null,
  tools int not null default 0,
  prompts int not null default 0,
  resources int not null default 0,
  catalogue_digest text not null default '',
  discovered_at timestamptz,
  quarantined json not null default '[]',
  primary key (organisation, server)
)
