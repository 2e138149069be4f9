-- The event log. Order is a gapless `seq` per organisation, allocated under the lock of its head row: commit
-- order is `seq` order, a reader can prove that it missed nothing, and the same lock carries the hash chain.
create table cb.log_head (
  organisation text primary key,
  seq bigint not null default 0,
  hash bytea not null default decode(repeat('00', 32), 'hex')
) with (fillfactor = 50);

create table cb.stream (
  organisation text not null,
  stream text not null,
  version bigint not null,
  primary key (organisation, stream)
);

-- A command id gives the same answer for ever.
create table cb.command (
  organisation text not null,
  command_id uuid not null,
  request_hash bytea not null,
  first_seq bigint not null,
  last_seq bigint not null,
  recorded_at timestamptz not null,
  primary key (organisation, command_id)
);

create table cb.event (
  organisation text not null,
  seq bigint not null,
  event_id uuid not null,
  stream text not null,
  version bigint not null,
  type text not null,
  schema_version int not null,
  payload text not null,
  meta text not null,
  command_id uuid not null,
  recorded_at timestamptz not null,
  prev_hash bytea not null,
  hash bytea not null,
  primary key (organisation, seq),
  unique (organisation, stream, version)
) partition by hash (organisation);

create table cb.event_0 partition of cb.event for values with (modulus 4, remainder 0);
create table cb.event_1 partition of cb.event for values with (modulus 4, remainder 1);
create table cb.event_2 partition of cb.event for values with (modulus 4, remainder 2);
create table cb.event_3 partition of cb.event for values with (modulus 4, remainder 3);

-- Where each consumer of the log stands, in the same transaction as its effect.
create table cb.cursor (
  consumer text not null,
  organisation text not null,
  seq bigint not null default 0,
  updated_at timestamptz not null default now(),
  primary key (consumer, organisation)
);

create function cb.forbid() returns trigger language plpgsql as $$
begin
  raise exception 'cb: % on % is forbidden', tg_op, tg_table_name using errcode = '42501';
end $$;
create trigger no_update_or_delete before update or delete on cb.event
  for each row execute function cb.forbid();
create trigger no_truncate before truncate on cb.event
  for each statement execute function cb.forbid();

-- Fixed-width fields as they are, variable ones by their own hash: no two events have the same input.
create function cb.event_hash(
  prev bytea, organisation text, seq bigint, event_id uuid, stream text, version bigint, type text,
  schema_version int, payload text, meta text, command_id uuid, recorded_at timestamptz
) returns bytea language sql immutable as $$
  select sha256(
    prev || int8send(seq) || uuid_send(event_id) || int8send(version) || int4send(schema_version)
    || uuid_send(command_id) || int8send((extract(epoch from recorded_at) * 1000000)::bigint)
    || sha256(convert_to(organisation, 'UTF8')) || sha256(convert_to(stream, 'UTF8'))
    || sha256(convert_to(type, 'UTF8')) || sha256(convert_to(payload, 'UTF8'))
    || sha256(convert_to(meta, 'UTF8')))
$$;

-- Append events to one or more streams of an organisation, all or none.
-- p_streams/p_expected: the streams touched and the version each must be at (null: any).
-- p_event_*: one entry per event, in order; p_event_stream names its stream.
-- Errors: CB412 a stream is elsewhere (detail: stream:version); CB409 the command id was used otherwise.
create function cb.append(
  p_organisation text, p_command uuid, p_request_hash bytea, p_streams text[], p_expected bigint[],
  p_event_id uuid[], p_event_stream text[], p_event_type text[], p_event_schema int[],
  p_event_payload text[], p_event_meta text[]
) returns table (first_seq bigint, last_seq bigint, replayed boolean) language plpgsql as $$
declare
  head cb.log_head;
  seen cb.command;
  current bigint;
  now_ timestamptz;
  link bytea;
  first bigint;
begin
  select * into head from cb.log_head h where h.organisation = p_organisation for update;
  if not found then
    insert into cb.log_head (organisation) values (p_organisation) on conflict do nothing;
    select * into head from cb.log_head h where h.organisation = p_organisation for update;
  end if;
  select * into seen from cb.command c where c.organisation = p_organisation and c.command_id = p_command;
  if found then
    if seen.request_hash <> p_request_hash then
      raise exception 'command id used for another request' using errcode = 'CB409';
    end if;
    return query select seen.first_seq, seen.last_seq, true;
    return;
  end if;
  for i in 1 .. coalesce(cardinality(p_streams), 0) loop
    select s.version into current from cb.stream s
      where s.organisation = p_organisation and s.stream = p_streams[i];
    if p_expected[i] is not null and p_expected[i] <> coalesce(current, 0) then
      raise exception 'stream % is at %, not %', p_streams[i], coalesce(current, 0), p_expected[i]
        using errcode = 'CB412', detail = p_streams[i] || ':' || coalesce(current, 0);
    end if;
  end loop;
  now_ := clock_timestamp();
  first := head.seq + 1;
  for i in 1 .. coalesce(cardinality(p_event_id), 0) loop
    insert into cb.stream as s (organisation, stream, version) values (p_organisation, p_event_stream[i], 1)
      on conflict (organisation, stream) do update set version = s.version + 1
      returning s.version into current;
    head.seq := head.seq + 1;
    link := cb.event_hash(head.hash, p_organisation, head.seq, p_event_id[i], p_event_stream[i], current,
      p_event_type[i], p_event_schema[i], p_event_payload[i], p_event_meta[i], p_command, now_);
    insert into cb.event (organisation, seq, event_id, stream, version, type, schema_version, payload, meta,
        command_id, recorded_at, prev_hash, hash)
      values (p_organisation, head.seq, p_event_id[i], p_event_stream[i], current, p_event_type[i],
        p_event_schema[i], p_event_payload[i], p_event_meta[i], p_command, now_, head.hash, link);
    head.hash := link;
  end loop;
  insert into cb.command (organisation, command_id, request_hash, first_seq, last_seq, recorded_at)
    values (p_organisation, p_command, p_request_hash, first, head.seq, now_);
  update cb.log_head h set seq = head.seq, hash = head.hash where h.organisation = p_organisation;
  return query select first, head.seq, false;
end $$;
