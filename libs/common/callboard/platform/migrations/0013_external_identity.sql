-- Owned by authsvc. Who a person is at the identity provider.
create table cb.external_identity (
  issuer text not null,
  subject text not null,
  person text not null references cb.person (person) on delete cascade,
  primary key (issuer, subject)
);
create index external_identity_by_person on cb.external_identity (person);

-- Logins under way at the identity provider: minutes, each used once.
create table cb.external_login (
  state bytea primary key,
  ticket bytea not null,
  verifier text not null,
  nonce text not null,
  expires_at timestamptz not null
);
