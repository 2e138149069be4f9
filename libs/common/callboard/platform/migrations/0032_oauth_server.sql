-- Owned by authsvc. Callboard as the authorization server of MCP clients: no value that opens anything stands here.
create table cb.oauth_client (
  client_id text primary key,
  kind text not null check (kind in ('dynamic', 'document', 'service')),
  name text not null,
  redirect_uris text[] not null default '{}',
  auth_method text not null,
  grant_types text[] not null,
  -- Of its secret, where it has one.
  verifier bytea,
  -- A JWK set, or where it is, for private_key_jwt.
  public_keys text not null default '',
  keys_url text not null default '',
  -- Of a service client: who made it, and as whom it acts.
  organisation text not null default '',
  account text not null default '',
  created_at timestamptz not null,
  -- The last time that it got tokens; null: it never did.
  used_at timestamptz,
  -- Of a document: until when it need not be fetched again.
  fresh_until timestamptz,
  removed_at timestamptz
);
create index oauth_client_by_organisation on cb.oauth_client (organisation) where organisation <> '';
create index oauth_client_by_age on cb.oauth_client (created_at) where kind = 'dynamic';

-- An authorization request that waits for a person; its id stands in the address of the consent page.
create table cb.oauth_request (
  request_hash bytea primary key,
  client_id text not null,
  redirect_uri text not null,
  named boolean not null,
  state text,
  challenge text not null,
  scopes text[] not null,
  resource text not null,
  expires_at timestamptz not null,
  -- The session that was shown the question; nobody else can answer it.
  session text not null default '',
  decided_at timestamptz
);
create index oauth_request_by_expiry on cb.oauth_request (expires_at);

create table cb.oauth_grant (
  gid text primary key,
  -- Empty where the token is for no resource.
  organisation text not null,
  member text not null,
  client_id text not null,
  client_name text not null,
  means text not null check (means in ('consent', 'client_credentials', 'assertion')),
  playbook text not null,
  resource text not null,
  scopes text[] not null,
  created_at timestamptz not null,
  used_at timestamptz,
  revoked_at timestamptz,
  reason text not null default ''
);
create index oauth_grant_by_member on cb.oauth_grant (member, organisation);
create index oauth_grant_by_organisation on cb.oauth_grant (organisation, created_at);
create index oauth_grant_by_client on cb.oauth_grant (client_id, member);
create index oauth_grant_by_end on cb.oauth_grant (revoked_at) where revoked_at is not null;

create table cb.oauth_code (
  verifier bytea primary key,
  gid text not null references cb.oauth_grant (gid) on delete cascade,
  redirect_uri text not null,
  named boolean not null,
  challenge text not null,
  expires_at timestamptz not null,
  used_at timestamptz
);

create index oauth_code_by_expiry on cb.oauth_code (expires_at);

-- One line of generations per grant: the child of a refresh token follows from its value.
create table cb.oauth_refresh (
  verifier bytea primary key,
  gid text not null references cb.oauth_grant (gid) on delete cascade,
  generation integer not null,
  expires_at timestamptz not null,
  first_used_at timestamptz,
  unique (gid, generation)
);

-- Assertions that were used, until they would not be good anyway.
create table cb.oauth_assertion (
  digest bytea primary key,
  expires_at timestamptz not null
);
create index oauth_assertion_by_expiry on cb.oauth_assertion (expires_at);
