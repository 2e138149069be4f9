-- Between organisations stands a wall that does not depend on the `where` of a statement: row-level security. Rooms work as
-- one of two roles without a login of their own, neither of which owns what it must not cross nor may pass by a policy:
--   callboard_room    sees and writes the rows of the organisation in the setting `callboard.organisation`, and no other;
--   callboard_keeper  works for the installation: follows every log, relays, sweeps, looks up a key before it is known
--                     whose it is. It owns what projections make and drop by themselves: read models, days of the call log.
-- `callboard migrate` makes the roles (`platform/migrate.py`) and calls `cb.raise_walls` after every migration.

-- One table or view. Nothing but the keeper gets at a table in which no column says whose a row is.
create function cb.wall(p_relation regclass) returns void language plpgsql as $$
declare
  kind "char";
  schema_ text;
  owner_ text;
  walled boolean;
begin
  select c.relkind, n.nspname, pg_get_userbyid(c.relowner), c.relrowsecurity into kind, schema_, owner_, walled
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = p_relation;
  if kind = 'v' then
    -- A view reads with the rights of its owner unless it is told not to.
    execute format('alter view %s set (security_invoker = true)', p_relation);
    execute format('grant select on %s to callboard_room, callboard_keeper', p_relation);
    return;
  end if;
  if owner_ <> 'callboard_keeper' and not has_table_privilege('callboard_keeper', p_relation, 'delete') then
    execute format('grant select, insert, update, delete on %s to callboard_keeper', p_relation);
  end if;
  if walled or not exists (
    select from pg_attribute a where a.attrelid = p_relation and a.attname = 'organisation' and not a.attisdropped
  ) then
    return;
  end if;
  execute format('alter table %s enable row level security', p_relation);
  if owner_ <> 'callboard_keeper' then
    execute format('alter table %s force row level security', p_relation);
  end if;
  execute format('create policy one_organisation on %s to callboard_room'
    ' using (organisation = current_setting(''callboard.organisation'', true))', p_relation);
  execute format('create policy every_organisation on %s to callboard_keeper using (true)', p_relation);
  execute format('grant %s on %s to callboard_room',
    case schema_ when 'rm' then 'select' else 'select, insert, update, delete' end, p_relation);
end $$;

-- Every table of this release; those that stand behind their wall stay as they are. A partition is reached through its
-- table only.
create function cb.raise_walls() returns void language plpgsql as $$
declare
  one regclass;
begin
  for one in
    select c.oid from pg_class c
    where c.relnamespace = 'cb'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
  loop
    perform cb.wall(one);
  end loop;
end $$;

grant usage on schema cb, rm to callboard_room;
grant usage, create on schema cb, rm to callboard_keeper;
select cb.raise_walls();
select cb.wall(c.oid) from pg_class c where c.relnamespace = 'rm'::regnamespace and c.relkind in ('r', 'v');

-- Persons belong to no organisation. Working for one, a room sees who is or was its member, and what keys they have.
alter table cb.person enable row level security, force row level security;
create policy members on cb.person for select to callboard_room
  using (exists (select from cb.member m where m.member = person.person));
create policy every_person on cb.person to callboard_keeper using (true);
grant select on cb.person to callboard_room;
alter table cb.login_session enable row level security, force row level security;
create policy of_members on cb.login_session for select to callboard_room
  using (exists (select from cb.member m where m.member = login_session.person));
create policy every_session on cb.login_session to callboard_keeper using (true);
grant select on cb.login_session to callboard_room;

-- The account of an erased member goes unless another organisation knows the person, which only the keeper sees.
create function cb.erase_account(p_organisation text, p_person text) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  delete from cb.person p where p.person = p_person and not p.administers
    and exists (select from cb.member m where m.member = p_person and m.organisation = p_organisation)
    and p_organisation = current_setting('callboard.organisation', true)
    and not exists (
      select from cb.member m where m.member = p_person and m.organisation <> p_organisation and m.removed_at is null
    )
$$;
revoke execute on function cb.erase_account(text, text) from public;
grant execute on function cb.erase_account(text, text) to callboard_room, callboard_keeper;
alter function cb.erase_account(text, text) owner to callboard_keeper;

-- What projections make and drop: the read models with their views, the call log with its days.
do $$
declare
  one record;
begin
  for one in
    select c.oid::regclass as relation, c.relkind::text from pg_class c
    where c.relnamespace = 'rm'::regnamespace and (c.relkind = 'v' or c.relkind = 'r' and c.relname ~ '_[0-9]+$')
    union all
    select i.inhrelid::regclass, 'r' from pg_inherits i
    where i.inhparent in ('cb.call'::regclass, 'cb.call_content'::regclass)
    union all values ('cb.call'::regclass, 'r'), ('cb.call_content'::regclass, 'r')
  loop
    execute format('alter %s %s owner to callboard_keeper', case one.relkind when 'v' then 'view' else 'table' end,
      one.relation);
  end loop;
end $$;

-- `cb.append_many` is as it was (0007), and takes up its place behind the wall of each organisation by itself: a group of
-- commands of several organisations stays one statement.
create or replace function cb.append_many(
  p_organisation text[], p_command uuid[], p_request_hash bytea[], p_streams int[], p_events int[],
  p_stream text[], p_expected bigint[], p_event_id uuid[], p_event_stream text[], p_event_type text[],
  p_event_schema int[], p_event_payload text[], p_event_meta text[]
) returns table (first_seq bigint, last_seq bigint, outcome text, detail text) language plpgsql as $$
declare
  head cb.log_head;
  seen cb.command;
  current bigint;
  now_ timestamptz;
  link bytea;
  streams_done int := 0;
  events_done int := 0;
begin
  for n in 1 .. cardinality(p_command) loop
    if head.organisation is distinct from p_organisation[n] then
      update cb.log_head h set seq = head.seq, hash = head.hash
        where h.organisation = head.organisation and h.seq <> head.seq;
      perform set_config('callboard.organisation', p_organisation[n], true);
      select * into head from cb.log_head h where h.organisation = p_organisation[n] for update;
      if not found then
        insert into cb.log_head (organisation) values (p_organisation[n]) on conflict do nothing;
        select * into head from cb.log_head h where h.organisation = p_organisation[n] for update;
      end if;
    end if;
    outcome := 'appended';
    detail := null;
    first_seq := head.seq + 1;
    select * into seen from cb.command c where c.organisation = head.organisation and c.command_id = p_command[n];
    if found then
      outcome := case when seen.request_hash = p_request_hash[n] then 'replayed' else 'reused' end;
      first_seq := seen.first_seq;
      last_seq := seen.last_seq;
    else
      for i in streams_done + 1 .. streams_done + p_streams[n] loop
        continue when p_expected[i] is null;
        select s.version into current from cb.stream s
          where s.organisation = head.organisation and s.stream = p_stream[i];
        if p_expected[i] <> coalesce(current, 0) then
          outcome := 'moved';
          detail := p_stream[i] || ':' || coalesce(current, 0);
          exit;
        end if;
      end loop;
    end if;
    if outcome = 'appended' then
      now_ := clock_timestamp();
      for i in events_done + 1 .. events_done + p_events[n] loop
        insert into cb.stream as s (organisation, stream, version) values (head.organisation, p_event_stream[i], 1)
          on conflict (organisation, stream) do update set version = s.version + 1
          returning s.version into current;
        head.seq := head.seq + 1;
        link := cb.event_hash(head.hash, head.organisation, head.seq, p_event_id[i], p_event_stream[i], current,
          p_event_type[i], p_event_schema[i], p_event_payload[i], p_event_meta[i], p_command[n], now_);
        insert into cb.event (organisation, seq, event_id, stream, version, type, schema_version, payload, meta,
            command_id, recorded_at, prev_hash, hash)
          values (head.organisation, head.seq, p_event_id[i], p_event_stream[i], current, p_event_type[i],
            p_event_schema[i], p_event_payload[i], p_event_meta[i], p_command[n], now_, head.hash, link);
        head.hash := link;
      end loop;
      last_seq := head.seq;
      insert into cb.command (organisation, command_id, request_hash, first_seq, last_seq, recorded_at)
        values (head.organisation, p_command[n], p_request_hash[n], first_seq, last_seq, now_);
    end if;
    streams_done := streams_done + p_streams[n];
    events_done := events_done + p_events[n];
    return next;
  end loop;
  update cb.log_head h set seq = head.seq, hash = head.hash
    where h.organisation = head.organisation and h.seq <> head.seq;
end $$;
