-- Owned by authsvc. Grants of upstream servers, sealed; what is in the clear is what lists show.
create table cb.upstream_grant (
  organisation text not null,
  server text not null,
  subject text not null,
  version bigint not null,
  sealed bytea not null,
  issuer text not null,
  scopes text[] not null,
  lost boolean not null default false,
  lease_until timestamptz not null default '-infinity',
  updated_at timestamptz not null default now(),
  primary key (organisation, server, subject)
);

-- Who Callboard is at an authorization server that it registered with.
create table cb.upstream_client (
  organisation text not null,
  issuer text not null,
  client_id text not null,
  sealed bytea not null,
  registered_at timestamptz not null default now(),
  primary key (organisation, issuer)
);

-- A sign-in under way, one per subject: a link for a person, and then a flow that waits for a browser.
-- Neither the handle nor the state stands here: of one there is half, of the other a hash.
create table cb.upstream_sign_in (
  organisation text not null,
  server text not null,
  subject text not null,
  handle bytea not null unique,
  challenge text not null,
  state_hash bytea unique,
  sealed bytea,
  expires_at timestamptz not null,
  primary key (organisation, server, subject)
);
