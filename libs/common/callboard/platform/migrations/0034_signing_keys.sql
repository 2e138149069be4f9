-- Owned by authsvc. The keys that sign access tokens: the public half, and the private one wrapped by the vault's key.
create table cb.signing_key (
  kid text primary key,
  x text not null,
  y text not null,
  kek_id text not null,
  wrapped bytea not null,
  signs_from timestamptz not null,
  published_at timestamptz not null default now()
);
