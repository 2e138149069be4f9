"""The call log: every record once, whatever is restarted, lost or delivered again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from nats.js.errors import NotFoundError

from callboard.contracts import subjects
from callboard.contracts.calls import CallContent, CallRecord, encode_record
from callboard.contracts.problems import Problem
from callboard.contracts.records import AskCalls, Calls
from callboard.kernel.call_ids import new_call_id
from callboard.local.postgres_server import EmbeddedPostgres
from callboard.platform.migrate import migrate
from callboard_projections.app import DURABLE
from callboard_projections.call_log import keep, pull
from callboard_projections.call_log.domain import (
    COLUMNS,
    RecordRefused,
    at_once,
    day_of,
    expired,
    partition_of,
    read_record,
    row_of,
)
from callboard_projections.call_log.keep import CallLog
from callboard_projections.call_log.partitions import Partitions
from callboard_projections.call_log.pull import Delivered
from callboard_projections.call_log.read import CallReads
from callboard_projections.call_log.store import CallStore
from tests.projections.stack import Log, Stack, call_record, status_of
from tests.support.waiting import PATIENCE, eventually

KEEP = timedelta(days=30)
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


async def stored(stack: Stack) -> list[str]:
    return [row["call_id"] for row in await stack.log.rows("select call_id from cb.call order by call_id")]


async def calls_are(stack: Stack, expected: Sequence[str], within: float = PATIENCE) -> None:
    async def check() -> bool:
        assert await stored(stack) == sorted(expected)
        return True

    await eventually(check, within=within)


# ---------------------------------------------------------------------------------------------- pure


def refusal(data: bytes, subject: str = "cb.calls.acme.start") -> str:
    with pytest.raises(RecordRefused) as refused:
        read_record(subject, data, NOW, KEEP)
    return str(refused.value)


def test_a_record_is_read_as_it_was_written() -> None:
    record = call_record("c1", started_at=NOW)
    assert read_record("cb.calls.acme.start", encode_record(record), NOW, KEEP) == record


def test_a_call_on_a_candidate_whose_version_is_negative_is_a_record_too() -> None:
    record = call_record("c1", started_at=NOW, version=-237_139_733)
    assert read_record("cb.calls.acme.start", encode_record(record), NOW, KEEP) == record


@pytest.mark.parametrize("data", [b"", b"{}", b"null", b"\xff", b'{"type":"call.v1"}', b'{"type":"other"}'])
def test_what_is_no_record_is_refused(data: bytes) -> None:
    assert refusal(data) == "it is not a call record"


def test_a_record_under_the_subject_of_another_organisation_is_refused() -> None:
    data = encode_record(call_record("c1", organisation="acme-2", started_at=NOW))
    assert refusal(data) == "it stands under the subject of another organisation"
    assert refusal(data, "cb.calls.acme.acme-2").startswith("it stands under")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"started_at": NOW - KEEP - timedelta(seconds=1)}, "its time is out of range"),
        ({"started_at": NOW + timedelta(days=3)}, "its time is out of range"),
        ({"started_at": NOW.replace(tzinfo=None)}, "its time has no zone"),
        ({"started_at": NOW, "version": 2**31}, "a number of it is out of range"),
        ({"started_at": NOW, "version": -(2**31)}, "a number of it is out of range"),
        ({"started_at": NOW, "total_us": 2**63}, "a number of it is out of range"),
    ],
)
def test_a_record_that_the_table_cannot_hold_is_refused(changes: dict[str, Any], reason: str) -> None:
    assert refusal(encode_record(call_record("c1", **changes))) == reason


@pytest.mark.parametrize(("count", "sizes"), [(0, 0), (1, 1), (150, 150), (151, 76), (333, 111), (25_600, 150)])
def test_rows_are_written_in_parts_of_about_one_size(count: int, sizes: int) -> None:
    assert at_once(count, 150) == sizes


def test_only_a_text_that_is_too_long_by_itself_is_cut() -> None:
    record = call_record("c1", started_at=NOW, tool="t" * 499, client="c" * 501, principal="\x00k", version=7)
    row = dict(zip(COLUMNS, row_of(record), strict=False))

    assert (row["tool"], row["client"], row["principal"]) == ("t" * 499, "c" * 500, "\ufffdk")
    assert (row["started_at"], row["version"], row["server"]) == (NOW, 7, record.server)


def test_a_day_has_one_partition_in_every_zone() -> None:
    late = datetime.fromisoformat("2026-11-20T23:30:00-05:00")
    assert day_of(late) == date(2026, 11, 21)
    assert partition_of(day_of(late)) == "call_20261121"


def test_only_our_partitions_of_days_that_are_over_expire() -> None:
    names = ["call_20261020", "call_20261021", "call_20261120", "call_old", "call_2026102", "other_20200101"]
    names += ["content_20261020", "content_20261021"]
    assert expired(names, date(2026, 11, 20), KEEP) == ["call_20261020", "content_20261020"]


# ------------------------------------------------------------------------------------------- postgres


async def test_days_are_made_ahead_and_when_a_record_needs_one_and_dropped_when_they_are_old(log: Log) -> None:
    partitions = Partitions(log.pool, timedelta(days=3))
    now = datetime.now(UTC)
    await partitions.keep(now)
    old = call_record("c1", started_at=now - timedelta(days=2))
    store = CallStore(log.pool, partitions)
    await store.write([row_of(old)])

    async def names() -> list[str]:
        rows = await log.rows(
            "select inhrelid::regclass::text as t from pg_inherits where inhparent='cb.call'::regclass"
        )
        return sorted(row["t"] for row in rows)

    days = [now - timedelta(days=2), now, now + timedelta(days=1)]
    assert await names() == [f"cb.{partition_of(day_of(day))}" for day in days]
    await partitions.keep(now + timedelta(days=2))
    assert f"cb.{partition_of(day_of(days[0]))}" not in await names()
    await store.write([row_of(old)])  # it is made again when a record needs it
    assert await log.pool.fetchval("select count(*) from cb.call") == 1


async def test_instances_make_the_same_day_at_once_and_notice_when_another_dropped_it(log: Log) -> None:
    both = [Partitions(log.pool, KEEP) for _ in range(4)]
    await asyncio.gather(*(partitions.keep(datetime.now(UTC)) for partitions in both))
    await log.pool.execute(f"drop table cb.{partition_of(day_of(datetime.now(UTC)))}")
    record = call_record("c1")

    assert await CallStore(log.pool, both[0]).write([row_of(record)]) == (1, 0)


# ------------------------------------------------------------------------------------- the whole room


async def test_records_are_written_once_and_acknowledged(stack: Stack) -> None:
    room = await stack.projections()
    names = [f"c{number:04}" for number in range(1200)]
    await stack.record(*(call_record(name) for name in names))

    await calls_are(stack, names)
    await eventually(lambda: status_of(room, "call_log").events == 1200)
    await eventually(lambda: status_of(room, "call_log").lag == 0)
    jetstream = (await stack.everywhere()).jetstream()

    async def all_acknowledged() -> bool:
        info = await jetstream.consumer_info(subjects.STREAM_CALLS, DURABLE)
        return (info.num_pending, info.num_ack_pending) == (0, 0)

    await eventually(all_acknowledged)


async def test_a_record_that_is_delivered_again_leaves_no_trace(stack: Stack) -> None:
    room = await stack.projections()
    record = call_record("c1")
    await stack.burst(record, record, call_record("c2"))
    await stack.record(record)
    await calls_are(stack, ["c1", "c2"])
    jetstream = (await stack.everywhere()).jetstream()

    # The consumer is made again and delivers everything from the beginning.
    await jetstream.delete_consumer(subjects.STREAM_CALLS, DURABLE)
    await eventually(lambda: _exists(jetstream.consumer_info(subjects.STREAM_CALLS, DURABLE)))
    await stack.record(call_record("c3"))

    await calls_are(stack, ["c1", "c2", "c3"])
    await eventually(lambda: status_of(room, "call_log").lag == 0)
    await eventually(lambda: status_of(room, "call_log").events == 3)


async def test_what_is_no_call_record_is_counted_and_does_not_hold_up_the_others(stack: Stack) -> None:
    room = await stack.projections()
    await stack.burst(b"not a record")
    await stack.burst(call_record("stolen"), subject="cb.calls.beta.start")
    beta = call_record("stolen too", organisation="beta")
    await stack.burst(call_record("good"), b'{"type":"call.v1"', b"", beta, call_record("as good"))

    await calls_are(stack, ["as good", "good"])
    await eventually(lambda: room.status().figures["calls_refused"] == 5)
    assert status_of(room, "call_log").events == 2
    assert status_of(room, "call_log").problem == "5 lines were not call records"
    await eventually(lambda: status_of(room, "call_log").lag == 0)


async def test_records_of_one_message_are_written_a_part_at_a_time_each_once(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep, "ROWS", 3)
    room = await stack.projections()
    names = [f"c{number:02}" for number in range(20)]
    records = [call_record(name) for name in names]
    await stack.burst(*records[:8])
    await stack.burst(*records[8:10])
    await stack.burst(*records[10:])
    await stack.burst(*records)

    await calls_are(stack, names)
    await eventually(lambda: status_of(room, "call_log").lag == 0)
    assert status_of(room, "call_log").events == 20


async def test_a_message_is_acknowledged_when_all_of_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keep, "ROWS", 3)
    wrote = _Written(refuse_from=9)
    call_log = CallLog(wrote, wrote, None, KEEP, lambda: NOW)  # type: ignore[arg-type]  # as much as it needs
    data = b"\n".join(encode_record(call_record(f"c{number}", started_at=NOW)) for number in range(4))
    messages = [Delivered("cb.calls.acme.start", f"ack{number}", data) for number in range(3)]
    with pytest.raises(asyncpg.DiskFullError):
        await call_log._write(messages)
    assert (wrote.rows, wrote.acknowledged) == ([3, 3, 3], ["ack0", "ack1"])

    wrote.refuse_from = 99
    await call_log._write(messages[2:])
    assert (wrote.rows[3:], wrote.acknowledged) == ([2, 2], ["ack0", "ack1", "ack2"])


class _Written:
    """Stands where the consumer and the table are."""

    def __init__(self, refuse_from: int) -> None:
        self.refuse_from = refuse_from
        self.rows: list[int] = []
        self.acknowledged: list[str] = []

    async def write(self, rows: Sequence[object]) -> tuple[int, int]:
        if sum(self.rows) >= self.refuse_from:
            raise asyncpg.DiskFullError
        self.rows += [len(rows)] if rows else []
        return len(rows), 0

    async def done(self, message: Delivered) -> None:
        self.acknowledged.append(message.reply)


async def test_a_message_larger_than_what_is_asked_for_at_once_comes_alone(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "REQUEST_BYTES", 4_000)
    names = [f"c{number:02}" for number in range(12)]
    records = [call_record(name, tool="t" * 10_000 if name == "c05" else "t" * 100) for name in names]
    await stack.projections()
    await stack.record(*records)

    await calls_are(stack, names)


async def test_two_instances_share_the_records(stack: Stack) -> None:
    rooms = [await stack.projections(), await stack.projections()]
    names = [f"c{number:04}" for number in range(600)]
    for start in range(0, 600, 50):
        await stack.record(*(call_record(name) for name in names[start : start + 50]))

    await calls_are(stack, names)
    await eventually(lambda: sum(status_of(room, "call_log").events for room in rooms) == 600)


async def test_records_go_on_after_the_stream_was_made_again(stack: Stack) -> None:
    await stack.projections()
    await stack.record(call_record("c1"))
    await calls_are(stack, ["c1"])
    jetstream = (await stack.everywhere()).jetstream()
    before = (await jetstream.stream_info(subjects.STREAM_CALLS)).created

    await jetstream.delete_stream(subjects.STREAM_CALLS)

    async def remade() -> bool:
        try:
            return (await jetstream.stream_info(subjects.STREAM_CALLS)).created != before
        except NotFoundError:
            return False

    await eventually(remade)
    await stack.record(call_record("c2"))
    await calls_are(stack, ["c1", "c2"])


async def test_records_go_on_after_nats_was_killed_and_lost_everything(stack: Stack) -> None:
    await stack.projections()
    await stack.record(call_record("c1"))
    await calls_are(stack, ["c1"])

    stack.lose_the_bus()
    await stack.start_the_bus()

    jetstream = (await stack.everywhere()).jetstream()
    await eventually(lambda: _exists(jetstream.stream_info(subjects.STREAM_CALLS)))
    await stack.record(call_record("c2"))
    await calls_are(stack, ["c1", "c2"])


async def _exists(question: object) -> bool:
    try:
        await question  # type: ignore[misc]  # a coroutine
    except (NotFoundError, OSError):
        return False
    return True


async def test_records_wait_for_a_postgres_that_was_killed(tmp_path: Path, stack: Stack) -> None:
    with EmbeddedPostgres(tmp_path / "pg") as server:
        await migrate(server.dsn)
        room = await stack.projections(database_url=server.dsn)
        await eventually(lambda: status_of(room, "call_log").problem == "")
        server.kill()
        await stack.record(*(call_record(f"c{number}") for number in range(5)))
        await eventually(lambda: status_of(room, "call_log").problem)
        server.start()
        await asyncio.to_thread(server.wait_ready)

        async def all_there() -> bool:
            connection = await asyncpg.connect(server.dsn)
            try:
                return bool(await connection.fetchval("select count(*) from cb.call") == 5)
            finally:
                await connection.close()

        await eventually(all_there)
        await eventually(lambda: status_of(room, "call_log").problem == "")
        await room.stop()
        stack.rooms.remove(room)


# -------------------------------------------------------------------------------------------- queries


async def asked(stack: Stack, **question: object) -> list[CallRecord]:
    answer = await stack.edge.ask(subjects.CALLS_ASKED, AskCalls(organisation="acme", **question), Calls)  # type: ignore[arg-type]
    return list(answer.calls)


def call_id_at(at: datetime, number: int = 1) -> str:
    return new_call_id((at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1), "0badcafe", number)


def at_ago(number: int, **ago: float) -> tuple[str, datetime]:
    at = datetime.now(UTC) - timedelta(**ago)
    return call_id_at(at, number), at


async def test_calls_are_answered_newest_first_of_the_last_day_only_one_s_own(stack: Stack) -> None:
    await stack.projections()
    now = datetime.now(UTC)
    recent = [call_record(f"c{n}", started_at=now - timedelta(minutes=n)) for n in range(5)]
    shuffled = random.Random(1).sample(recent, 5)
    old_id, at = at_ago(1, hours=30)
    old = call_record(old_id, started_at=at)
    foreign_id, at = at_ago(2, seconds=3)
    foreign = call_record(foreign_id, organisation="beta", started_at=at)
    other = call_record("other", playbook="other", started_at=now - timedelta(seconds=1))
    await stack.record(*shuffled, old, other, foreign)
    await calls_are(stack, ["c0", "c1", "c2", "c3", "c4", foreign_id, old_id, "other"])

    assert await asked(stack, playbook="start") == recent
    assert [record.call_id for record in await asked(stack, limit=2)] == ["c0", "other"]
    assert await asked(stack, call_id=old_id) == [old]
    assert await asked(stack, call_id=foreign_id) == []
    assert await asked(stack, call_id="c0") == []  # an id that nobody of us gave
    assert [record.call_id for record in await asked(stack, limit=-5)] == ["c0"]


FULL: dict[str, Any] = {
    "playbook": "start",
    "version": 3,
    "tool": "git__log",
    "server": "git",
    "client": "agent",
    "principal": "k1",
    "era": "2025-11-25",
    "outcome": "tool_error",
    "digest": "sha256:" + 64 * "a",
    "trace_id": 32 * "1",
}
ANOTHER: dict[str, Any] = {
    "playbook": "other",
    "version": 4,
    "tool": "git__diff",
    "server": "svn",
    "client": "person",
    "principal": "k2",
    "era": "2026-07-28",
    "outcome": "timeout",
    # The same last characters: what the index looks at is not what decides.
    "digest": "sha256:" + 8 * "b" + 56 * "a",
    "trace_id": 32 * "2",
}


async def test_every_field_of_a_record_comes_back_and_every_filter_finds_just_its_calls(stack: Stack) -> None:
    await stack.projections()
    now = datetime.now(UTC)
    whole = call_record(
        "whole", started_at=now, upstream_name="log", upstream_era="2026-07-28", error_code=-32000, problem="a.b",
        router_us=1, connector_us=2, upstream_us=3, total_us=500_000, request_bytes=4, response_bytes=5,
        connector="c-1", replay_of="before", **FULL,
    )  # fmt: skip
    others = [
        call_record(f"not-{name}", started_at=now - timedelta(seconds=1), total_us=1, **{**FULL, name: ANOTHER[name]})
        for name in FULL
    ]
    await stack.record(whole, *others)
    await calls_are(stack, ["whole", *(record.call_id for record in others)])

    assert await asked(stack, min_us=500_000) == [whole]
    assert await asked(stack, min_us=500_001) == []
    assert await asked(stack, **FULL) == [whole]
    for name in FULL:
        playbook = {} if name != "version" else {"playbook": "start"}
        found = await asked(stack, **{name: ANOTHER[name]}, **playbook)
        assert [record.call_id for record in found] == [f"not-{name}"]
        missing = 99 if name == "version" else "nothing"
        assert await asked(stack, **{**playbook, name: missing}) == []
    with pytest.raises(Problem, match="a version is one of a playbook"):
        await asked(stack, version=3)


async def test_pages_give_every_call_once_also_those_of_the_same_moment(stack: Stack) -> None:
    await stack.projections()
    now = datetime.now(UTC)
    names = [f"c{n:02}" for n in range(25)]
    await stack.record(*(call_record(name, started_at=now - timedelta(seconds=n // 7)) for n, name in enumerate(names)))
    await calls_are(stack, names)

    seen: list[str] = []
    cursor = ""
    for _ in range(4):
        question = AskCalls(organisation="acme", limit=10, cursor=cursor)
        answer = await stack.edge.ask(subjects.CALLS_ASKED, question, Calls)
        seen += [record.call_id for record in answer.calls]
        cursor = answer.cursor
        if not cursor:
            break
    assert sorted(seen) == names
    assert len(seen) == 25
    for wrong in ("x", "12", "_a", "9" * 30 + "_a"):
        with pytest.raises(Problem, match="cursor"):
            await asked(stack, cursor=wrong)


async def test_a_time_bounds_the_calls_from_then_and_before_then(stack: Stack) -> None:
    await stack.projections()
    now = datetime.now(UTC)
    hours = {f"h{n:02}": now - timedelta(hours=n) for n in (0, 1, 2, 23, 25, 47, 49)}
    await stack.record(*(call_record(name, started_at=at) for name, at in hours.items()))
    await calls_are(stack, list(hours))

    async def names(**question: Any) -> list[str]:
        return [record.call_id for record in await asked(stack, **question)]

    assert await names() == ["h00", "h01", "h02", "h23"]
    assert await names(since=hours["h47"]) == ["h00", "h01", "h02", "h23", "h25", "h47"]
    assert await names(until=hours["h23"]) == ["h25", "h47"]  # the 24 hours before then
    assert await names(since=hours["h25"], until=hours["h01"]) == ["h02", "h23", "h25"]


async def test_what_is_recorded_of_a_call_is_kept_apart_and_shown_with_the_one_call(stack: Stack) -> None:
    await stack.projections()
    call_id, at = at_ago(1, seconds=5)
    content = CallContent(arguments={"a": "\x00", "n": 1.5}, result={"isError": True}, redacted=("/arguments/b",))
    await stack.record(call_record(call_id, started_at=at, content=content))
    await calls_are(stack, [call_id])

    assert (await asked(stack))[0].content is None
    assert (await asked(stack, call_id=call_id))[0].content == content
    assert "isError" not in str(await stack.log.rows("select * from cb.call"))


async def test_arguments_come_with_a_page_that_asks_for_them_without_results_as_far_as_there_is_room(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callboard_projections.call_log.read.MOST_ARGUMENTS", 300)
    long, kept = {"a": "x" * 400}, {"a": "b"}
    contents = [CallContent(arguments=kept, result={"r": 1}), None, CallContent(arguments=long)]
    records = [
        call_record(call_id, started_at=at, content=content)
        for seconds, content in enumerate(contents)
        for call_id, at in [at_ago(seconds, seconds=10 + seconds)]
    ]
    assert await CallStore(log.pool, Partitions(log.pool, KEEP)).write([row_of(each) for each in records]) == (3, 0)
    reads = CallReads(log.pool)

    found = (await reads.calls(AskCalls(organisation="acme", arguments=True))).calls
    assert [record.call_id for record in found] == [record.call_id for record in records]
    assert [record.content for record in found] == [
        CallContent(arguments=kept),
        None,
        CallContent(omitted=("arguments",)),
    ]
    plain = (await reads.calls(AskCalls(organisation="acme"))).calls
    assert [record.content for record in plain] == [None] * 3
    assert (await reads.calls(AskCalls(organisation="other", arguments=True))).calls == ()


async def test_a_search_that_takes_too_long_is_ended_and_says_what_to_do(log: Log) -> None:
    reads = CallReads(log.pool, patience="100ms")
    question = AskCalls(organisation="acme")
    assert (await reads.calls(question)).calls == ()
    async with log.pool.acquire() as connection, connection.transaction():
        await connection.execute("lock table cb.call in access exclusive mode")
        with pytest.raises(Problem) as refused:
            await reads.calls(question)
    assert refused.value.code == "calls.too_many"


async def test_names_of_any_length_are_stored_cut(stack: Stack) -> None:
    room = await stack.projections()
    await stack.record(call_record("long", tool="t" * 100_000, client="c" * 5_000), call_record("short"))

    await calls_are(stack, ["long", "short"])
    assert room.status().figures["calls_refused"] == 0
    assert {len(record.tool) for record in await asked(stack)} == {500, 8}
