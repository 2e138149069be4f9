"""Blue-green rebuilds: from zero equals live, no read fails, one at a time over all instances."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from callboard.contracts import subjects
from callboard.contracts.problems import Problem
from callboard.contracts.records import (
    AskHistory,
    AskPlaybooks,
    AskRebuild,
    History,
    Playbooks,
    RebuildProjection,
    Rebuilt,
)
from callboard.platform.room import cancel_all
from callboard_projections.history.fold import Folder
from callboard_projections.history.playbooks import PLAYBOOKS
from callboard_projections.history.registry import PROJECTIONS, establish
from callboard_projections.rebuild import claim as claims
from callboard_projections.rebuild.claim import claim
from callboard_projections.rebuild.rebuild import Rebuilds
from tests.projections.stack import Log, Stack, published, registered
from tests.support.waiting import PATIENCE, eventually


@pytest_asyncio.fixture
async def rebuilds(log: Log) -> AsyncIterator[Rebuilds]:
    await establish(log.pool, PROJECTIONS)
    made = Rebuilds(log.pool, PROJECTIONS)
    yield made
    await made.close()


async def ended(rebuilds: Rebuilds, name: str) -> Rebuilt:
    async def state() -> Rebuilt:
        found = await rebuilds.state(name)
        assert found.state != "running"
        return found

    return await eventually(state)


async def tables_of(log: Log, pattern: str) -> list[str]:
    rows = await log.rows("select tablename::text as t from pg_tables where schemaname = 'rm' order by 1")
    return [row["t"] for row in rows if re.fullmatch(pattern, row["t"])]


async def test_rebuilt_from_zero_equals_live_while_appends_and_reads_go_on(log: Log, rebuilds: Rebuilds) -> None:
    for organisation in ("acme", "beta"):
        await log.append(organisation, *(published("old", n, "log") for n in range(1, 451)))
    folder = Folder(log.pool, PLAYBOOKS)
    await folder.catch_up_all()
    stop = asyncio.Event()
    reads = appended = 0

    async def append() -> None:
        nonlocal appended
        while not stop.is_set():
            appended += 1
            await log.append("acme", published("new", appended, "log"))
            folder.wake()

    async def read() -> None:
        nonlocal reads
        seen = 0
        while not stop.is_set():
            rows = await log.rows("select * from rm.playbook where playbook = 'old' order by organisation")
            assert [row["version"] for row in rows] == [450, 450]
            count = await log.pool.fetchval("select count(*) from rm.playbook_version")
            assert count >= seen
            seen = count
            reads += 1

    background = [asyncio.create_task(work) for work in (append(), read(), read(), folder.run())]
    try:
        assert (await rebuilds.begin("playbooks")).state == "running"
        first = await ended(rebuilds, "playbooks")
        await rebuilds.begin("playbooks")
        second = await ended(rebuilds, "playbooks")
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(*background[:3]), PATIENCE)
        await cancel_all(background[3])

    for rebuilt in (first, second):
        assert (rebuilt.state, rebuilt.problem) == ("done", "")
        assert rebuilt.checksum_before == rebuilt.checksum_after != ""
        assert rebuilt.events == rebuilt.of_events >= 900
    assert second.events > first.events
    assert reads > 10
    assert appended > 10
    await folder.catch_up_all()
    assert await log.pool.fetchval("select count(*) from rm.playbook_version") == 900 + appended
    await eventually(lambda: _only(log, ["playbook_3", "playbook_version_3"]))
    assert await log.rows("select consumer from cb.cursor group by 1") == [{"consumer": "playbooks"}]


async def test_a_rebuild_repairs_tables_that_were_damaged_and_says_that_they_differed(
    log: Log, rebuilds: Rebuilds
) -> None:
    await log.append("acme", registered("git"), registered("time"))
    folder = Folder(log.pool, PROJECTIONS[2])
    await folder.catch_up_all()
    await log.pool.execute("delete from rm.server_1 where server = 'git'")

    await rebuilds.begin("servers")
    rebuilt = await ended(rebuilds, "servers")

    assert (rebuilt.state, rebuilt.problem) == ("done", "the tables before held something else")
    assert rebuilt.checksum_before != rebuilt.checksum_after
    assert await log.pool.fetchval("select count(*) from rm.server") == 2
    assert await folder.catch_up("acme") == 2


async def test_the_checksum_does_not_depend_on_the_physical_order_of_rows(log: Log, rebuilds: Rebuilds) -> None:
    await log.append("acme", registered("git"), registered("time"), registered("everything"))
    folder = Folder(log.pool, PROJECTIONS[2])
    await folder.catch_up_all()
    await log.pool.execute("update rm.server_1 set tools = 7 where server = 'git'")
    await log.pool.execute("update rm.server_1 set tools = 0 where server = 'git'")

    await rebuilds.begin("servers")

    rebuilt = await ended(rebuilds, "servers")
    assert rebuilt.checksum_before == rebuilt.checksum_after


async def test_a_projection_is_rebuilt_by_one_instance_at_a_time(log: Log, rebuilds: Rebuilds) -> None:
    held = await claim(log.pool, "playbooks")

    with pytest.raises(Problem) as refused:
        await rebuilds.begin("playbooks")
    await rebuilds.begin("servers")

    assert refused.value.code == "projection.rebuilding"
    assert (await rebuilds.state("playbooks")).state == "running"
    await claims.fail(log.pool, held, "given up")
    assert (await rebuilds.state("playbooks")).problem == "given up"
    await rebuilds.begin("playbooks")
    assert (await ended(rebuilds, "playbooks")).state == "done"


async def test_of_two_rebuilds_begun_at_once_one_is_refused(log: Log, rebuilds: Rebuilds) -> None:
    await log.append("acme", *(published("start", n, "log") for n in range(1, 600)))
    other = Rebuilds(log.pool, PROJECTIONS)

    results = await asyncio.gather(rebuilds.begin("playbooks"), other.begin("playbooks"), return_exceptions=True)

    assert sorted(type(result).__name__ for result in results) == ["Problem", "Rebuilt"]
    assert (await ended(rebuilds, "playbooks")).state == "done"
    await other.close()


async def test_a_rebuild_whose_instance_died_can_be_made_by_another(log: Log, rebuilds: Rebuilds) -> None:
    await log.append("acme", published("start", 1, "log"))
    dead = await claim(log.pool, "playbooks")
    async with log.pool.acquire() as connection:
        await PLAYBOOKS.make_tables(connection, dead.suffix)
    await log.pool.execute("insert into cb.cursor (consumer, organisation, seq) values ($1, 'acme', 1)", dead.consumer)
    await log.pool.execute("update rm.rebuild set touched_at = now() - interval '1 hour'")
    assert (await rebuilds.state("playbooks")).problem == "the instance that ran it is gone"

    await rebuilds.begin("playbooks")
    rebuilt = await ended(rebuilds, "playbooks")

    assert rebuilt.state == "done"
    await eventually(lambda: _only(log, ["playbook_3", "playbook_version_3"]))
    with pytest.raises(claims.ClaimLost):
        async with log.pool.acquire() as connection:
            await claims.touch(connection, dead, 1, 1)


async def test_a_rebuild_that_cannot_fold_leaves_the_live_tables_as_they_are(log: Log, rebuilds: Rebuilds) -> None:
    await log.append("acme", published("start", 1, "log"))
    await Folder(log.pool, PLAYBOOKS).catch_up_all()
    await log.tamper("update cb.event set payload = '{'")

    await rebuilds.begin("playbooks")
    rebuilt = await ended(rebuilds, "playbooks")

    assert (rebuilt.state, rebuilt.problem) == ("failed", "DecodeError after event 0")
    assert await log.pool.fetchval("select version from rm.playbook") == 1
    await eventually(lambda: _only(log, ["playbook_1", "playbook_version_1"]))


async def _only(log: Log, names: list[str]) -> bool:
    return await tables_of(log, "playbook.*") == names


async def test_a_stopped_instance_gives_its_rebuild_up(log: Log, rebuilds: Rebuilds) -> None:
    await log.append("acme", *(published("start", n, "log") for n in range(1, 2001)))
    await rebuilds.begin("playbooks")

    await rebuilds.close()

    state = await rebuilds.state("playbooks")
    assert (state.state, state.problem) == ("failed", "the instance that ran it was stopped")


async def test_a_projection_with_new_tables_is_rebuilt_at_start_and_stays_readable(stack: Stack) -> None:
    first = await stack.projections()
    await stack.log.append("acme", published("start", 1, "log"))
    await first.stop()
    stack.rooms.remove(first)
    # As an older release left it.
    await stack.log.pool.execute("update rm.projection set layout = 0 where projection = 'playbooks'")

    await stack.projections()

    async def current() -> bool:
        layout = "select layout from rm.projection where projection = 'playbooks'"
        return bool(await stack.log.pool.fetchval(layout) == PLAYBOOKS.layout)

    await eventually(current)
    answer = await stack.edge.ask(subjects.PLAYBOOKS, AskPlaybooks(organisation="acme"), Playbooks)
    assert [line.version for line in answer.playbooks] == [1]


async def test_a_rebuild_asked_for_on_the_bus_is_followed_on_the_bus_and_no_question_fails(stack: Stack) -> None:
    await stack.projections()
    await stack.projections()
    await stack.log.append("acme", *(published("start", n, "log") for n in range(1, 1001)))
    question = AskHistory(organisation="acme", playbook="start")
    await stack.edge.ask(subjects.HISTORY, question, History)

    begun = await stack.edge.ask(subjects.REBUILD, RebuildProjection(projection="playbooks"), Rebuilt)
    states = [begun]
    while states[-1].state == "running":
        history = await stack.edge.ask(subjects.HISTORY, question, History)
        assert len(history.versions) == 1000
        states.append(await stack.edge.ask(subjects.REBUILD_STATE, AskRebuild(projection="playbooks"), Rebuilt))

    assert begun.state == "running"
    assert (states[-1].state, states[-1].events) == ("done", 1000)
    assert states[-1].seconds > 0
    assert [state.events for state in states] == sorted(state.events for state in states)


@pytest.mark.parametrize("name", ["nothing", "relay", "call_log", ""])
async def test_what_is_no_projection_of_the_log_cannot_be_rebuilt(stack: Stack, name: str) -> None:
    await stack.projections()
    for subject, message in (
        (subjects.REBUILD, RebuildProjection(projection=name)),
        (subjects.REBUILD_STATE, AskRebuild(projection=name)),
    ):
        with pytest.raises(Problem) as refused:
            await stack.edge.ask(subject, message, Rebuilt)
        assert refused.value.code == "projection.unknown"


async def test_instances_that_start_at_once_make_the_tables_once(log: Log) -> None:
    await asyncio.gather(*(establish(log.pool, PROJECTIONS) for _ in range(4)))

    assert await tables_of(log, ".*_1") == [
        "canary_1",
        "definition_1",
        "organisation_1",
        "pin_1",
        "playbook_1",
        "playbook_version_1",
        "server_1",
    ]


async def test_a_rebuild_survives_cut_connections(log: Log, dsn: str, rebuilds: Rebuilds) -> None:
    await log.append("acme", *(published("start", n, "log") for n in range(1, 3001)))
    await rebuilds.begin("playbooks")
    other = await asyncpg.connect(dsn)
    cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
    await other.execute(f"{cut} and pid <> pg_backend_pid()")
    await other.close()

    rebuilt = await ended(rebuilds, "playbooks")
    assert (rebuilt.state, rebuilt.events) == ("done", 3000)
