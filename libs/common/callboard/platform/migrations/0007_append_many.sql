-- Several commands in one transaction: writers that wait share one commit. Those of one organisation stand together,
-- and the organisations in their order, so that no two such transactions wait for each other.
-- Each command is all or none by itself, and what stops one (its outcome) does not stop the next.
-- `cb.append` stays for instances of the release before.
--
-- p_organisation, p_command, p_request_hash, p_streams, p_events: one entry per command; the last two say how many of the following
-- streams and events are its own.
-- p_stream/p_expected: the streams touched and the version each must be at (null: any).
-- p_event_*: one entry per event, in order; p_event_stream names its stream.
-- outcome: appended; replayed (the command id was handled before); reused (for another request); moved (a stream is
-- elsewhere, detail: stream:version).
create function cb.append_many(
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
