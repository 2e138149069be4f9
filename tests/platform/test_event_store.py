"""The contract of the event store, on a real Postgres: order, idempotency, atomicity, no way to change the past."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
import struct
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import msgspec
import pytest
import pytest_asyncio

from callboard.contracts.events import EventMeta, OrganisationCreated, ServerRetired, encode_event
from callboard.contracts.problems import Problem
from callboard.local.postgres_server import EmbeddedPostgres
from callboard.platform.event_store import Appended, Connection, EventStore, StreamMoved, Write
from callboard.platform.migrate import migrate
from callboard.platform.postgres import open_pool
from tests.support.waiting import PATIENCE

META = EventMeta(actor="ann", comment="because")
WRITERS = 32
_numbers = itertools.count(1)


class Wish(msgspec.Struct, frozen=True):
    """What was asked for; another text is another request."""

    text: str = ""


def gone(*servers: str) -> tuple[ServerRetired, ...]:
    return tuple(ServerRetired(server=server) for server in servers)


def new_id() -> str:
    return str(uuid.uuid4())


@pytest_asyncio.fixture
async def pool(dsn: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(dsn, min_size=4, max_size=12) as opened:
        yield opened


@pytest.fixture
def hints() -> list[tuple[str, int]]:
    """What the store said after its commits."""
    return []


@pytest.fixture
def store(pool: asyncpg.Pool, hints: list[tuple[str, int]]) -> EventStore:
    async def appended(organisation: str, seq: int) -> None:
        hints.append((organisation, seq))

    return EventStore(pool, appended)


async def test_what_was_appended_is_read_back_in_order_with_who_why_and_when(store: EventStore) -> None:
    command = new_id()
    answer = await store.append("acme", command, Wish(), META, [Write("server-a", gone("a", "b"), expected=0)])

    first, second = await store.read("acme", 0)

    assert answer == Appended(1, 2, False)
    assert (first.seq, first.version, first.stream, first.type) == (1, 1, "server-a", "server.retired")
    assert (second.seq, second.version, second.event) == (2, 2, ServerRetired(server="b"))
    assert (first.meta, first.command_id) == (META, command)
    assert first.recorded_at.tzinfo is not None
    assert first.event_id != second.event_id
    assert await store.heads() == {"acme": 2}
    assert await store.read("acme", 1) == [second]
    assert await store.read_stream("acme", "server-a", 1) == [second]


async def test_each_organisation_has_its_own_order(store: EventStore) -> None:
    for organisation in ("acme", "beta", "acme"):
        await store.append(organisation, new_id(), Wish(), META, [Write("server-a", gone("a"))])

    assert await store.heads() == {"acme": 2, "beta": 1}
    assert {event.organisation for event in await store.read("beta", 0)} == {"beta"}


async def test_of_many_writers_with_one_expected_version_exactly_one_wins(store: EventStore) -> None:
    async def write(number: int) -> str:
        try:
            await store.append("acme", new_id(), Wish(), META, [Write("server-a", gone(f"s{number}"), expected=0)])
        except StreamMoved as moved:
            return str(moved)
        return "won"

    results = Counter(await asyncio.gather(*(write(number) for number in range(WRITERS))))

    assert results == {"won": 1, "server-a is at 1": WRITERS - 1}
    assert len(await store.read("acme", 0)) == 1


async def test_one_command_delivered_many_times_at_once_is_applied_once(
    store: EventStore, hints: list[tuple[str, int]]
) -> None:
    command = new_id()
    writes = [Write("server-a", gone("a", "b"), expected=0)]

    answers = await asyncio.gather(*(store.append("acme", command, Wish(), META, writes) for _ in range(WRITERS)))

    assert Counter(answer.replayed for answer in answers) == {False: 1, True: WRITERS - 1}
    assert {(answer.first_seq, answer.last_seq) for answer in answers} == {(1, 2)}
    assert len(await store.read("acme", 0)) == 2
    assert hints == [("acme", 2)]


async def test_a_command_id_cannot_be_used_for_another_request(store: EventStore) -> None:
    command = new_id()
    await store.append("acme", command, Wish("a"), META, [Write("server-a", gone("a"))])

    with pytest.raises(Problem) as refused:
        await store.append("acme", command, Wish("b"), META, [Write("server-a", gone("b"))])
    with pytest.raises(Problem):
        await store.seen("acme", command, Wish("b"))

    assert refused.value.code == "command.reused"
    seen = await store.seen("acme", command, Wish("a"))
    assert seen is not None
    assert [event.seq for event in seen] == [1]
    assert await store.seen("acme", new_id(), Wish("a")) is None


async def test_any_text_can_be_a_command_id(store: EventStore) -> None:
    first = await store.append("acme", "apply-42", Wish(), META, [Write("server-a", gone("a"))])
    second = await store.append("acme", "apply-42", Wish(), META, [Write("server-a", gone("a"))])

    assert (first.replayed, second.replayed) == (False, True)


async def test_writers_that_wait_share_a_commit_and_each_keeps_its_own_outcome(
    store: EventStore, pool: asyncpg.Pool
) -> None:
    used = new_id()
    await store.append("acme", used, Wish("a"), META, [Write("server-a", gone("a"), expected=0)])

    async def write(command: str, stream: str, expected: int | None) -> object:
        try:
            return (await store.append("acme", command, Wish("b"), META, [Write(stream, gone("b"), expected)])).replayed
        except (StreamMoved, Problem, asyncpg.PostgresError) as error:
            return type(error).__name__

    outcomes = await asyncio.gather(
        *(write(new_id(), f"server-{number}", 0) for number in range(20)),
        write(new_id(), "server-a", 0),
        write(used, "server-b", None),
        *(write(new_id(), f"server-{number}", 1) for number in range(20)),
    )
    # A text that Postgres cannot hold spoils the transaction; those who shared it are written without it.
    around = await asyncio.gather(
        write(new_id(), "server-c", 0), write(new_id(), "server-\x00", 0), write(new_id(), "server-d", 0)
    )

    assert Counter(outcomes) == {False: 40, "StreamMoved": 1, "Problem": 1}
    assert around == [False, "CharacterNotInRepertoireError", False]
    assert [event.seq for event in await store.read("acme", 0)] == list(range(1, 44))
    assert await pool.fetchval("select count(distinct xmin::text) from cb.event") < 10


async def test_writes_to_several_streams_happen_all_or_not_at_all(store: EventStore) -> None:
    await store.append("acme", new_id(), Wish(), META, [Write("server-b", gone("b"), expected=0)])
    stale = [Write("server-a", gone("a"), expected=0), Write("server-b", gone("b"), expected=0)]

    with pytest.raises(StreamMoved) as moved:
        await store.append("acme", new_id(), Wish(), META, stale)

    assert (moved.value.stream, moved.value.version) == ("server-b", 1)
    assert await store.heads() == {"acme": 1}
    assert await store.read_stream("acme", "server-a") == []
    fresh = [Write("server-a", gone("a"), expected=0), Write("server-b", gone("b"), expected=1)]
    assert await store.append("acme", new_id(), Wish(), META, fresh) == Appended(2, 3, False)


async def test_what_is_done_within_the_append_is_committed_or_rolled_back_with_it(
    store: EventStore, pool: asyncpg.Pool, hints: list[tuple[str, int]]
) -> None:
    await pool.execute("create table effect (text text primary key)")

    async def effect(connection: Connection) -> None:
        await connection.execute("insert into effect values ('once')")

    command = new_id()
    for _ in range(2):
        await store.append("acme", command, Wish(), META, [Write("server-a", gone("a"))], within=effect)
    with pytest.raises(asyncpg.UniqueViolationError):
        await store.append("acme", new_id(), Wish(), META, [Write("server-a", gone("a"))], within=effect)

    assert await store.heads() == {"acme": 1}
    assert hints == [("acme", 1)]


async def test_seq_has_no_gap_and_follows_the_commits_while_writers_race_and_roll_back(
    store: EventStore, pool: asyncpg.Pool
) -> None:
    chance = random.Random(7)
    seen: list[int] = []
    done = asyncio.Event()

    async def fail(_: Connection) -> None:
        raise ZeroDivisionError

    async def write(number: int) -> int:
        rolls_back = chance.random() < 0.3
        writes = [Write(f"server-{number % 5}", gone(*(f"s{n}" for n in range(chance.randint(1, 3)))))]
        try:
            await store.append("acme", new_id(), Wish(), META, writes, within=fail if rolls_back else None)
        except ZeroDivisionError:
            return 0
        return len(writes[0].events)

    async def read() -> None:
        while not done.is_set() or (await store.heads()).get("acme", 0) > len(seen):
            seen.extend(event.seq for event in await store.read("acme", seen[-1] if seen else 0))

    reader = asyncio.create_task(read())
    written = sum(await asyncio.gather(*(write(number) for number in range(200))))
    done.set()
    await asyncio.wait_for(reader, PATIENCE)

    assert written > 100
    assert seen == list(range(1, written + 1))
    versions = await pool.fetch("select stream, array_agg(version order by seq) as v from cb.event group by stream")
    assert all(row["v"] == list(range(1, len(row["v"]) + 1)) for row in versions)


PARTITIONS = [f"cb.event_{number}" for number in range(4)]


async def test_the_past_cannot_be_changed(store: EventStore, pool: asyncpg.Pool) -> None:
    organisations = [f"org-{number}" for number in range(24)]  # enough that each partition has some
    for organisation in organisations:
        await store.append(organisation, new_id(), Wish(), META, [Write("server-a", gone("a"))])
    assert all([await pool.fetchval(f"select count(*) from {partition}") for partition in PARTITIONS])

    for table in ("cb.event", *PARTITIONS):
        for statement in (
            f"update {table} set payload = '{{}}'",
            f"update {table} set recorded_at = now()",
            f"delete from {table}",
            f"truncate {table}",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.execute(statement)

    assert await pool.fetchval("select count(*) from cb.event") == len(organisations)


def hash_by_hand(prev: bytes, row: asyncpg.Record) -> bytes:
    """The definition in words: the hash before, the numbers big-endian, the SHA-256 of each text."""
    since = row["recorded_at"] - datetime(1970, 1, 1, tzinfo=UTC)
    micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    parts = [
        prev,
        struct.pack(">q", row["seq"]),
        uuid.UUID(str(row["event_id"])).bytes,
        struct.pack(">q", row["version"]),
        struct.pack(">i", row["schema_version"]),
        uuid.UUID(str(row["command_id"])).bytes,
        struct.pack(">q", micros),
        *(
            hashlib.sha256(row[name].encode()).digest()
            for name in ("organisation", "stream", "type", "payload", "meta")
        ),
    ]
    return hashlib.sha256(b"".join(parts)).digest()


async def test_the_hash_chain_equals_an_independent_computation(store: EventStore, pool: asyncpg.Pool) -> None:
    for number in range(20):
        meta = EventMeta(actor="ännchen ☂", comment=f"no {number}")
        await store.append("acme", new_id(), Wish(), meta, [Write(f"server-{number % 3}", gone("a", "ü"))])

    link = bytes(32)
    rows = await pool.fetch("select * from cb.event where organisation = 'acme' order by seq")
    for row in rows:
        assert row["prev_hash"] == link
        link = hash_by_hand(link, row)
        assert row["hash"] == link

    assert len(rows) == 40
    assert await pool.fetchval("select hash from cb.log_head where organisation = 'acme'") == link


async def test_the_payload_is_stored_as_the_bytes_that_were_encoded(store: EventStore, pool: asyncpg.Pool) -> None:
    event = OrganisationCreated(organisation="acme", title='nul \x00, umbrella ☂, quote "')
    await store.append("acme", new_id(), Wish(), META, [Write("organisation-acme", (event,))])

    assert await pool.fetchval("select payload from cb.event") == encode_event(event).decode()
    assert (await store.read("acme", 0))[0].event == event


async def test_an_acknowledged_append_survives_a_killed_postgres_and_one_under_way_is_made_once(
    tmp_path: Path,
) -> None:
    with EmbeddedPostgres(tmp_path / "pg") as server:
        await migrate(server.dsn)
        pool = await open_pool(server.dsn, 4)

        async def ignore(organisation: str, seq: int) -> None:
            return None

        store = EventStore(pool, ignore)
        await store.append("acme", new_id(), Wish(), META, [Write("server-a", gone("a"))])
        server.kill()
        under_way = asyncio.create_task(
            store.append("acme", new_id(), Wish(), META, [Write("server-a", gone("b"), expected=1)])
        )
        server.start()
        await asyncio.to_thread(server.wait_ready)

        assert await asyncio.wait_for(under_way, PATIENCE) == Appended(2, 2, False)
        assert [event.event for event in await store.read("acme", 0)] == list(gone("a", "b"))
        pool.terminate()
