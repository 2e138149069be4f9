-- Owned by authsvc. A key for each person of an organisation; erasing the person empties the row but for its id, so
-- that what the key sealed can be told from what another organisation sealed. `name_tag`: HMAC-SHA-256 of the name
-- under a key that is not in the database, to find the person by name.
create table cb.person_key (
  organisation text not null,
  person text not null,
  kek_id text,
  wrapped bytea,
  name_tag bytea,
  name text not null default '',
  known_since timestamptz not null,
  erased_at timestamptz,
  primary key (organisation, person),
  check ((wrapped is null) = (erased_at is not null))
);
create unique index person_key_by_name on cb.person_key (organisation, name_tag) where name_tag is not null;

-- Whose token it is, where it is a person's; `client` is sealed then.
alter table cb.token add column person text;
create index token_by_person on cb.token (organisation, person) where person is not null;
