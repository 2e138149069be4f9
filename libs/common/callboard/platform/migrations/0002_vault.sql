-- Owned by authsvc. The key-encryption key is a file outside the database; rows hold only wrapped keys.
create table cb.data_key (
  organisation text primary key,
  kek_id text not null,
  wrapped bytea not null,
  created_at timestamptz not null default now()
);

create table cb.secret (
  organisation text not null,
  secret text not null,
  version int not null,
  nonce bytea not null,
  ciphertext bytea not null,
  stored_at timestamptz not null default now(),
  primary key (organisation, secret, version)
);

-- Tokens: the verifier is an HMAC-SHA-256 of the token under a pepper that is not in the database.
create table cb.token (
  key_id text primary key,
  organisation text not null,
  client text not null,
  verifier bytea not null,
  scopes text[] not null,
  playbooks text[] not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz
);
create index token_by_organisation on cb.token (organisation, created_at);

create table cb.consumer (
  organisation text not null,
  consumer text not null,
  public_key text not null,
  admitted_at timestamptz not null default now(),
  dismissed_at timestamptz,
  primary key (organisation, consumer, admitted_at)
);
