-- A record is columns and nothing else: a scan of a day reads a third of what it did with the JSON beside them.
alter table cb.call
  add column principal text not null default '',
  add column upstream_name text not null default '',
  add column upstream_era text not null default '',
  add column error_code int,
  add column problem text not null default '',
  add column router_us bigint not null default 0,
  add column connector_us bigint not null default 0,
  add column upstream_us bigint not null default 0,
  add column request_bytes bigint not null default 0,
  add column response_bytes bigint not null default 0,
  add column trace_id text not null default '',
  add column connector text not null default '',
  add column replay_of text not null default '';
update cb.call set
  principal = coalesce(j ->> 'principal', ''),
  upstream_name = coalesce(j ->> 'upstream_name', ''),
  upstream_era = coalesce(j ->> 'upstream_era', ''),
  error_code = (j ->> 'error_code')::int,
  problem = coalesce(j ->> 'problem', ''),
  router_us = coalesce((j ->> 'router_us')::bigint, 0),
  upstream_us = coalesce((j ->> 'upstream_us')::bigint, 0),
  request_bytes = coalesce((j ->> 'request_bytes')::bigint, 0),
  response_bytes = coalesce((j ->> 'response_bytes')::bigint, 0),
  trace_id = coalesce(j ->> 'trace_id', ''),
  connector = coalesce(j ->> 'connector', '')
-- JSON may carry U+0000, jsonb may not; after an even number of backslashes it is that character.
from (
  select started_at as at, call_id as id,
    regexp_replace(record, '(?<!\\)((\\\\)*)\\u0000', '\1\\ufffd', 'g')::jsonb as j
  from cb.call
) as told
where started_at = at and call_id = id;
alter table cb.call drop column record;

-- One index finds a time, a page and a repetition; the two that did the first two apart are gone.
alter table cb.call drop constraint call_pkey, add primary key (organisation, started_at, call_id);
drop index cb.call_recent;
drop index cb.call_by_id;

-- What people search by, each in the order of time: a search ends with its page, and one that finds nothing ends at once.
-- Chosen by measurement (`python -m bench.calls`): without them it reads the whole day, and each costs a record about
-- three microseconds of the database.
create index call_by_tool on cb.call (organisation, tool, started_at);
create index call_by_client on cb.call (organisation, client, started_at);
create index call_by_playbook on cb.call (organisation, playbook, started_at);
create index call_by_server on cb.call (organisation, server, started_at);
create index call_by_principal on cb.call (organisation, principal, started_at);
create index call_by_digest on cb.call (organisation, right(digest, 12), started_at);
create index call_by_trace on cb.call using hash (trace_id);
create index call_not_ok on cb.call (organisation, outcome, started_at) where outcome <> 'ok';
create index call_slow on cb.call (organisation, started_at) where total_us >= 100000;
create index call_of_old_era on cb.call (organisation, era, started_at) where era <> '2026-07-28';

-- Arguments and results, where a playbook records them; apart, so that the rows above stay narrow.
create table cb.call_content (
  started_at timestamptz not null,
  call_id text not null,
  organisation text not null,
  content text not null,
  primary key (organisation, started_at, call_id)
) partition by range (started_at);
