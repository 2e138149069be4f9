-- Owned by authsvc. Where events are sent: what was decided (as the log says, changed with it), and how far sending is.
-- The secrets are rows of cb.secret that no user can name.
create table cb.webhook (
  organisation text not null,
  webhook text not null,
  url text not null,
  kinds text[] not null,
  state text not null check (state in ('on', 'paused', 'disabled')),
  position bigint not null,
  replay_next bigint not null default 0,
  replay_last bigint not null default -1,
  old_secret_until timestamptz not null default '-infinity',
  failures int not null default 0,
  failing_since timestamptz,
  problem text not null default '',
  next_attempt_at timestamptz not null default '-infinity',
  lease uuid,
  lease_until timestamptz not null default '-infinity',
  primary key (organisation, webhook)
);

-- One row per attempt, the newest of each webhook.
create table cb.webhook_delivery (
  id bigint generated always as identity primary key,
  organisation text not null,
  webhook text not null,
  seq bigint not null,
  kind text not null,
  attempt int not null,
  at timestamptz not null,
  status int not null,
  problem text not null,
  took_ms int not null,
  foreign key (organisation, webhook) references cb.webhook on delete cascade
);
create index webhook_delivery_newest on cb.webhook_delivery (organisation, webhook, id desc);
