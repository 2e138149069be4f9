-- Events that a projection could not fold, and what was decided about them. In cb, not rm: a decision cannot be folded
-- again from the log. `stopped` with a cursor that is past it means that it was folded since.
create table cb.poison_event (
  projection text not null,
  organisation text not null,
  seq bigint not null,
  type text not null,
  reason text not null,
  attempts int not null default 1,
  first_at timestamptz not null default now(),
  last_at timestamptz not null default now(),
  state text not null default 'stopped' check (state in ('stopped', 'skipped', 'due', 'folded')),
  decided_by text not null default '',
  comment text not null default '',
  decided_at timestamptz,
  primary key (projection, organisation, seq)
);
