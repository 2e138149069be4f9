-- A data key may be replaced: what is sealed says under which version, and an old one is kept until nothing is.
alter table cb.data_key add column version int not null default 1;
alter table cb.data_key add column retired_at timestamptz;
alter table cb.data_key drop constraint data_key_pkey;
alter table cb.data_key add primary key (organisation, version);
alter table cb.secret add column key_version int not null default 1;
