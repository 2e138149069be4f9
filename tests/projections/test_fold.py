"""The projections of the log: equal to a fold in memory, whoever folds, and stopped by nothing but their own fault."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from typing import Any

import asyncpg
import msgspec
import pytest
import pytest_asyncio

from callboard.contracts.access_events import ClientTokenIssued
from callboard.contracts.events import (
    Event,
    PlaybookPublished,
    PlaybookRetired,
    PlaybookRolledBack,
    Recorded,
    ServerCatalogueDiscovered,
    ServerReconfigured,
    ServerRegistered,
    ServerRetired,
)
from callboard.contracts.problems import Problem
from callboard.contracts.records import RetryEvent, SkipEvent
from callboard.platform.room import cancel_all
from callboard_projections.history import fold
from callboard_projections.history.fold import Folder, fold_batch
from callboard_projections.history.playbooks import PLAYBOOKS
from callboard_projections.history.registry import PROJECTIONS, establish
from callboard_projections.poison.decide import Decisions
from callboard_projections.poison.record import listed
from callboard_projections.rebuild.rebuild import Rebuilds
from tests.projections.stack import Log, discovered, published, registered, rolled_back
from tests.support.waiting import eventually

ORGANISATIONS = ("acme", "beta")


@pytest_asyncio.fixture
async def folders(log: Log) -> AsyncIterator[dict[str, Folder]]:
    await establish(log.pool, PROJECTIONS)
    made = {projection.name: Folder(log.pool, projection) for projection in PROJECTIONS}
    yield made


def some_history(seed: int, length: int) -> list[tuple[str, Event]]:
    """A random but possible history of two organisations."""
    chance = random.Random(seed)
    versions: dict[tuple[str, str], list[PlaybookPublished]] = {}
    servers: set[tuple[str, str]] = set()
    history: list[tuple[str, Event]] = []
    while len(history) < length:
        organisation, playbook = chance.choice(ORGANISATIONS), chance.choice("pqr")
        server = (organisation, chance.choice("stu"))
        before = versions.setdefault((organisation, playbook), [])
        match chance.randrange(8):
            case 0 if before:
                to = chance.choice(before)
                history.append((organisation, rolled_back(playbook, len(before) + 1, to)))
                before.append(published(playbook, len(before) + 1, *to.content.tools))
            case 1 if before:
                history.append((organisation, PlaybookRetired(playbook=playbook)))
            case 2 if server not in servers:
                servers.add(server)
                history.append((organisation, registered(server[1])))
            case 3 if server in servers:
                servers.remove(server)
                history.append((organisation, ServerRetired(server=server[1])))
            case 4 if server in servers:
                definition = registered(server[1], f"mcp-{chance.randrange(9)}").definition
                history.append((organisation, ServerReconfigured(server=server[1], definition=definition)))
            case 5 if server in servers:
                tools = [f"t{n}" for n in range(chance.randrange(5))]
                history.append((organisation, discovered(server[1], *tools, broken=tools[:1])))
            case 6:
                history.append((organisation, ClientTokenIssued(client="agent", key_id="k", scopes=("use",))))
            case 7:
                before.append(published(playbook, len(before) + 1, *"abcd"[: chance.randrange(5)], title="T"))
                history.append((organisation, before[-1]))
            case _:
                pass
    return history


def playbooks_of(recorded: Iterable[Recorded]) -> dict[tuple[str, str], dict[str, Any]]:
    """What `rm.playbook` must hold, said in the simplest way."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in recorded:
        event = one.event
        if isinstance(event, PlaybookPublished | PlaybookRolledBack):
            found[one.organisation, event.playbook] = {
                "title": event.content.definition.title,
                "version": event.version,
                "access": "token",
                "servers": list(event.content.definition.servers),
                "tools": len(event.content.tools),
                "retired": False,
            }
        elif isinstance(event, PlaybookRetired):
            found[one.organisation, event.playbook]["retired"] = True
        else:
            continue
        found[one.organisation, event.playbook] |= {"changed_at": one.recorded_at, "changed_by": one.meta.actor}
    return found


def versions_of(recorded: Iterable[Recorded]) -> dict[tuple[str, str, int], dict[str, Any]]:
    return {
        (one.organisation, one.event.playbook, one.event.version): {
            "seq": one.seq,
            "reason": "published" if isinstance(one.event, PlaybookPublished) else "rolled_back",
            "rolled_back_to": one.event.to_version if isinstance(one.event, PlaybookRolledBack) else None,
            "content": msgspec.json.encode(one.event.content).decode(),
            "actor": one.meta.actor,
            "comment": one.meta.comment,
        }
        for one in recorded
        if isinstance(one.event, PlaybookPublished | PlaybookRolledBack)
    }


def servers_of(recorded: Iterable[Recorded]) -> dict[tuple[str, str], dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in recorded:
        event = one.event
        if isinstance(event, ServerRegistered):
            found[one.organisation, event.server] = {"tools": 0, "digest": "", "at": None, "quarantined": "[]"}
        if isinstance(event, ServerRegistered | ServerReconfigured):
            definition = msgspec.json.encode(event.definition).decode()
            found[one.organisation, event.server]["definition"] = definition
        elif isinstance(event, ServerRetired):
            del found[one.organisation, event.server]
        elif isinstance(event, ServerCatalogueDiscovered):
            broken = [item.name for item in event.catalogue.tools if item.problem]
            found[one.organisation, event.server] |= {
                "tools": len(event.catalogue.tools),
                "digest": event.digest,
                "at": one.recorded_at,
                "quarantined": msgspec.json.encode(broken).decode(),
            }
    return found


async def tables(log: Log) -> dict[str, Any]:
    """The same three, as the views have them."""
    playbooks = await log.rows("select * from rm.playbook")
    versions = await log.rows(
        "select organisation, playbook, version, seq, reason, rolled_back_to, content, actor, comment"
        " from rm.playbook_version"
    )
    servers = await log.rows(
        "select organisation, server, tools, catalogue_digest as digest, discovered_at as at, quarantined, definition"
        " from rm.server"
    )
    return {
        "playbooks": {(row.pop("organisation"), row.pop("playbook")): row for row in playbooks},
        "versions": {(row.pop("organisation"), row.pop("playbook"), row.pop("version")): row for row in versions},
        "servers": {(row.pop("organisation"), row.pop("server")): row for row in servers},
    }


async def in_memory(log: Log) -> dict[str, Any]:
    recorded = [one for org in await log.store.heads() for one in await log.store.read(org, 0, 10_000)]
    return {
        "playbooks": playbooks_of(recorded),
        "versions": versions_of(recorded),
        "servers": servers_of(recorded),
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_read_models_equal_a_fold_in_memory_however_the_log_is_cut_into_batches(
    log: Log, folders: dict[str, Folder], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(fold, "BATCH", 7)
    await log.create(*ORGANISATIONS)

    for number, (organisation, event) in enumerate(some_history(seed, 120)):
        await log.append(organisation, event, actor=f"u{number}", comment=f"c{number}")
        if chance.random() < 0.1:
            await asyncio.gather(*(folder.catch_up_all() for folder in folders.values()))
    await asyncio.gather(*(folder.catch_up_all() for folder in folders.values()))

    assert await tables(log) == await in_memory(log)
    assert await log.rows("select organisation, title from rm.organisation order by 1") == [
        {"organisation": "acme", "title": "Acme"},
        {"organisation": "beta", "title": "Beta"},
    ]


async def test_two_instances_that_fold_at_once_apply_each_event_once(log: Log, folders: dict[str, Folder]) -> None:
    await log.create(*ORGANISATIONS)
    others = [Folder(log.pool, projection) for projection in PROJECTIONS]
    running = [asyncio.create_task(folder.run()) for folder in (*folders.values(), *others)]
    try:
        for organisation, event in some_history(9, 80):
            await log.append(organisation, event)
            for folder in (*folders.values(), *others):
                folder.wake()
        await eventually(lambda: _caught_up(log))
    finally:
        await cancel_all(*running)

    assert await tables(log) == await in_memory(log)


async def _caught_up(log: Log) -> bool:
    lag = await log.rows(
        "select 1 from cb.log_head h join rm.projection p on true left join cb.cursor c"
        " on c.consumer = p.projection and c.organisation = h.organisation where h.seq > coalesce(c.seq, 0)"
    )
    return not lag


async def test_a_reader_sees_what_was_committed_before(log: Log, folders: dict[str, Folder]) -> None:
    for version in range(1, 6):
        await log.append("acme", published("start", version, "log"))
        assert await folders["playbooks"].catch_up("acme") == version
        assert await log.pool.fetchval("select version from rm.playbook") == version
    assert await folders["playbooks"].catch_up("nobody") is None


async def test_an_event_that_cannot_be_folded_stops_its_projection_there_and_nothing_else(
    log: Log, folders: dict[str, Folder]
) -> None:
    await log.pool.execute("alter table rm.server_1 add constraint no_evil check (server <> 'evil')")
    await log.append("acme", registered("good"), registered("fine"), registered("evil"), registered("late"))
    await log.append("beta", registered("good"))
    await log.append("acme", published("start", 1, "log"))

    await asyncio.gather(*(folder.catch_up_all() for folder in folders.values()))

    servers = folders["servers"]
    assert servers.problem == "stopped before acme seq 3: CheckViolationError"
    rows = await log.rows("select organisation, server from rm.server order by 1, 2")
    assert [(row["organisation"], row["server"]) for row in rows] == [
        ("acme", "fine"),
        ("acme", "good"),
        ("beta", "good"),
    ]
    assert folders["playbooks"].problem == ""
    assert await log.pool.fetchval("select count(*) from rm.playbook") == 1
    assert await servers.catch_up("acme") == 5  # a reader is not kept waiting


async def test_a_projection_goes_on_by_itself_when_what_stopped_it_is_repaired(
    log: Log, folders: dict[str, Folder]
) -> None:
    await log.pool.execute("alter table rm.server_1 add constraint no_evil check (server <> 'evil')")
    await log.append("acme", registered("good"), registered("evil"), registered("late"))
    servers = folders["servers"]
    running = asyncio.create_task(servers.run())
    try:
        await eventually(lambda: servers.problem)
        await log.pool.execute("alter table rm.server_1 drop constraint no_evil")
        await eventually(lambda: not servers.problem)
    finally:
        await cancel_all(running)

    assert await log.pool.fetchval("select count(*) from rm.server") == 3


async def stopped_at(log: Log, projection: str = "servers") -> list[tuple[str, int, str, str]]:
    events = (await listed(log.pool)).get(projection, ())
    return [(event.organisation, event.seq, event.reason, event.state) for event in events]


async def test_an_event_that_stops_a_projection_is_recorded_until_somebody_has_it_skipped(
    log: Log, folders: dict[str, Folder]
) -> None:
    await log.pool.execute("alter table rm.server_1 add constraint no_evil check (server <> 'evil')")
    await log.append("acme", registered("good"), registered("evil"), registered("late"), registered("last"))
    servers, other = folders["servers"], Folder(log.pool, folders["servers"].projection)
    decisions = Decisions(log.pool, folders)
    await servers.catch_up_all()
    await other.catch_up_all()
    assert await stopped_at(log) == [("acme", 2, "CheckViolationError", "stopped")]

    event = {"projection": "servers", "organisation": "acme", "seq": 2, "actor": "ann/k1"}
    still = await decisions.retry(RetryEvent(**event))
    with pytest.raises(Problem) as unsaid:
        await decisions.skip(SkipEvent(**event, comment=" "))
    done = await decisions.skip(SkipEvent(**event, comment="a test server"))
    await other.catch_up_all()

    assert (still.state, still.at) == ("stopped", 1)
    assert unsaid.value.code == "comment.required"
    assert (done.state, done.at) == ("skipped", 4)
    assert await stopped_at(log) == [("acme", 2, "CheckViolationError", "skipped")]
    [told] = (await listed(log.pool))["servers"]
    assert (told.actor, told.comment, told.event_type, told.attempts) == (
        "ann/k1",
        "a test server",
        "server.registered",
        3,
    )
    assert (servers.problem, other.problem) == ("", "")
    assert [row["server"] for row in await log.rows("select server from rm.server order by 1")] == [
        "good",
        "last",
        "late",
    ]
    for wrong in ({"seq": 3}, {"organisation": "beta"}):
        with pytest.raises(Problem) as refused:
            await decisions.skip(SkipEvent(**event | wrong, comment="why"))
        assert refused.value.code == "projection.not_stopped"


async def test_a_repaired_event_is_no_longer_told_and_a_skipped_one_waits_for_a_rebuild(
    log: Log, folders: dict[str, Folder]
) -> None:
    await log.pool.execute("alter table rm.server_1 add constraint no_evil check (server !~ 'evil')")
    await log.append("acme", registered("evil-1"), registered("evil-2"))
    decisions = Decisions(log.pool, folders)
    await folders["servers"].catch_up_all()
    first = {"projection": "servers", "organisation": "acme", "seq": 1, "actor": "ann"}
    await decisions.skip(SkipEvent(**first, comment="later"))
    await log.pool.execute("alter table rm.server_1 drop constraint no_evil")
    await decisions.retry(RetryEvent(**first | {"seq": 2}))
    assert await stopped_at(log) == [("acme", 1, "CheckViolationError", "skipped")]

    rebuilds = Rebuilds(log.pool, PROJECTIONS)
    await _rebuilt(rebuilds)
    left_out = await log.pool.fetchval("select count(*) from rm.server")
    due = await decisions.retry(RetryEvent(**first))
    told = await stopped_at(log)
    await _rebuilt(rebuilds)
    await rebuilds.close()

    assert left_out == 1
    assert due.state == "due"
    assert told == [("acme", 1, "CheckViolationError", "due")]
    assert await log.pool.fetchval("select count(*) from rm.server") == 2
    assert await stopped_at(log) == []


async def _rebuilt(rebuilds: Rebuilds) -> None:
    await rebuilds.begin("servers")

    async def done() -> bool:
        return (await rebuilds.state("servers")).state == "done"

    await eventually(done)


async def test_what_has_no_event_of_its_kinds_is_passed_over_in_one_step(
    log: Log, folders: dict[str, Folder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold, "BATCH", 10)
    await log.append("acme", *(published("start", n, "log") for n in range(1, 101)))
    await log.append("acme", registered("git"))
    await log.append("acme", *(published("start", n, "log") for n in range(101, 151)))
    async with log.pool.acquire() as connection:
        reached = []
        while not reached or reached[-1] < 151:
            async with connection.transaction():
                folded = await fold_batch(connection, folders["servers"].projection, "servers", 1, "acme", 10)
            reached.append(folded.at)

    assert reached == [100, 110, 151]
    assert await log.pool.fetchval("select count(*) from rm.server") == 1


async def test_a_batch_ends_at_its_bytes(log: Log, folders: dict[str, Folder], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "BATCH_BYTES", 2500)
    await log.append("acme", *(published("start", n, title="x" * 1000) for n in range(1, 8)))
    reached = []
    async with log.pool.acquire() as connection:
        while not reached or reached[-1] < 7:
            async with connection.transaction():
                reached.append((await fold_batch(connection, PLAYBOOKS, "playbooks", 1, "acme")).at)

    assert reached == [3, 6, 7]
    assert await log.pool.fetchval("select count(*) from rm.playbook_version") == 7


async def test_an_unreadable_payload_stops_only_the_projection_that_reads_its_kind(
    log: Log, folders: dict[str, Folder]
) -> None:
    await log.append("acme", registered("good"))
    await log.append("acme", published("start", 1, "log"))
    await log.tamper('update cb.event set payload = \'{"type":"server.registered"\' where seq = 1')

    await asyncio.gather(*(folder.catch_up_all() for folder in folders.values()))

    assert folders["servers"].problem == "stopped before acme seq 1: DecodeError"
    assert folders["playbooks"].problem == ""
    assert await log.pool.fetchval("select version from rm.playbook") == 1


async def test_text_that_postgres_cannot_hold_does_not_stop_a_projection(log: Log, folders: dict[str, Folder]) -> None:
    await log.append("acme", published("start", 1, "log", title="a\x00b"), actor="x\x00", comment="\x00")
    await log.append("acme", registered("git"), discovered("git", "t\x00", broken=["t\x00"]))

    await asyncio.gather(*(folder.catch_up_all() for folder in folders.values()))

    assert {folder.problem for folder in folders.values()} == {""}
    assert await log.pool.fetchval("select title from rm.playbook") == "a\ufffdb"


async def test_an_older_instance_leaves_the_tables_of_a_newer_release_alone(
    log: Log, folders: dict[str, Folder]
) -> None:
    await log.append("acme", registered("git"))
    await log.pool.execute("update rm.projection set layout = 2 where projection = 'servers'")

    await folders["servers"].catch_up_all()

    assert folders["servers"].problem == "the tables belong to another release"
    assert await log.pool.fetchval("select count(*) from rm.server") == 0


async def test_a_folder_goes_on_when_its_connections_were_cut(log: Log, dsn: str, folders: dict[str, Folder]) -> None:
    playbooks = folders["playbooks"]
    running = asyncio.create_task(playbooks.run())
    try:
        other = await asyncpg.connect(dsn)
        cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
        await other.execute(f"{cut} and pid <> pg_backend_pid()")
        await other.close()
        await log.append("acme", published("start", 1, "log"))
        playbooks.wake()
        await eventually(lambda: _caught_up_playbooks(log))
    finally:
        await cancel_all(running)


async def _caught_up_playbooks(log: Log) -> bool:
    return bool(await log.pool.fetchval("select count(*) from rm.playbook"))
