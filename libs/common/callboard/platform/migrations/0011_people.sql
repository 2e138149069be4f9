-- Owned by authsvc. Personal data (e-mail, name) stands in cb.person and cb.invitation only; events name persons by id.
create table cb.person (
  person text primary key,
  email text not null unique,
  name text not null default '',
  -- argon2id with its parameters; null: no password opens a session.
  password text,
  administers boolean not null default false,
  created_at timestamptz not null
);

-- What members may do now: the stream `members` of their organisation, folded, in the transaction of its events.
create table cb.member (
  organisation text not null,
  member text not null,
  kind text not null check (kind in ('person', 'service')),
  role text not null,
  permissions text[] not null,
  since timestamptz not null,
  changed_at timestamptz not null,
  -- Removed ones stay, so that their keys can be told again to edges that may have missed it.
  removed_at timestamptz,
  primary key (organisation, member)
);
create index member_by_member on cb.member (member) where removed_at is null;
create index member_by_change on cb.member (changed_at);

create table cb.invitation (
  invitation text primary key,
  organisation text not null,
  verifier bytea not null,
  email text not null default '',
  expires_at timestamptz not null,
  ended_at timestamptz
);
create index invitation_by_organisation on cb.invitation (organisation);

-- Sessions of the management API: like tokens, the value is nowhere.
create table cb.login_session (
  key_id text primary key,
  verifier bytea not null,
  person text not null references cb.person (person) on delete cascade,
  opened_at timestamptz not null,
  seen_at timestamptz not null,
  expires_at timestamptz not null,
  ended_at timestamptz
);
create index login_session_by_person on cb.login_session (person);
create index login_session_by_expiry on cb.login_session (expires_at);

create table cb.password_reset (
  key_id text primary key,
  verifier bytea not null,
  person text not null references cb.person (person) on delete cascade,
  expires_at timestamptz not null,
  used_at timestamptz
);

-- Attempts to sign in, by a keyed hash of the account or the address.
create table cb.login_attempt (
  subject bytea not null,
  at timestamptz not null
);
create index login_attempt_by_subject on cb.login_attempt (subject, at);
create index login_attempt_by_time on cb.login_attempt (at);

-- Who stands behind a token; empty: nobody, its scopes alone count.
alter table cb.token add column member text not null default '';
alter table cb.token add column used_at timestamptz;
alter table cb.token add column replaced_by text not null default '';
create index token_by_member on cb.token (organisation, member) where member <> '' and revoked_at is null;
