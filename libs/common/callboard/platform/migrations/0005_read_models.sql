-- Read models: derived from the log, so every table of schema `rm` may be lost and folded again from zero.
-- The tables are made by projections (`<table>_<suffix>`, read through a view `<table>`), because a rebuild makes
-- them again beside the live ones. Their cursors are rows of cb.cursor: consumer = projection.
create schema rm;

-- Which tables of a projection are the live ones. Folding holds this row FOR SHARE, switching FOR UPDATE.
create table rm.projection (
  projection text primary key,
  suffix int not null,
  layout int not null,
  switched_at timestamptz not null default now()
);

-- The last rebuild of each projection. `token` fences off an instance that was taken for dead.
create table rm.rebuild (
  projection text primary key references rm.projection (projection),
  token uuid not null,
  suffix int not null,
  state text not null check (state in ('running', 'done', 'failed')),
  events bigint not null default 0,
  of_events bigint not null default 0,
  started_at timestamptz not null default now(),
  touched_at timestamptz not null default now(),
  ended_at timestamptz,
  checksum_before text not null default '',
  checksum_after text not null default '',
  problem text not null default ''
);

-- What the relay knows of the JetStream stream it fills: when that was created and the last message it acknowledged.
-- Another creation time means that the stream was lost and the relay begins again.
create table cb.relay_stream (
  stream text primary key,
  created timestamptz not null,
  last_seq bigint not null default 0
);

-- Row triggers of a partitioned table reach its partitions, statement triggers do not: without these, a partition of
-- the log can be truncated by name.
create trigger no_truncate before truncate on cb.event_0 for each statement execute function cb.forbid();
create trigger no_truncate before truncate on cb.event_1 for each statement execute function cb.forbid();
create trigger no_truncate before truncate on cb.event_2 for each statement execute function cb.forbid();
create trigger no_truncate before truncate on cb.event_3 for each statement execute function cb.forbid();
