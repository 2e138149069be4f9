"""The questions about playbooks, servers, organisations and the log, asked on the bus as the edge does."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from callboard.contracts import subjects
from callboard.contracts.audit import AskLogRows, LogRows
from callboard.contracts.events import PlaybookRetired, ServerReconfigured, ServerRetired
from callboard.contracts.problems import Problem
from callboard.contracts.records import (
    AskDiff,
    AskEvent,
    AskEvents,
    AskHistory,
    AskOrganisations,
    AskPlaybooks,
    AskServers,
    AskVersion,
    Diff,
    Events,
    History,
    LoggedEvent,
    OrganisationLine,
    Organisations,
    PlaybookLine,
    Playbooks,
    Servers,
    Version,
)
from callboard.contracts.status import AskStatus, InstanceStatus
from callboard.platform.event_store import published_of
from callboard_projections.history.read import Reads
from tests.projections.stack import Log, Stack, discovered, published, registered, rolled_back, status_of
from tests.support.waiting import eventually


async def code_of(stack: Stack, subject: str, question: msgspec.Struct, answer: type[Any]) -> str:
    with pytest.raises(Problem) as refused:
        await stack.edge.ask(subject, question, answer)
    return refused.value.code


async def test_organisations_are_listed_with_the_height_of_their_logs(stack: Stack) -> None:
    await stack.projections()
    assert await stack.edge.ask(subjects.ORGANISATIONS, AskOrganisations(), Organisations) == Organisations(
        organisations=()
    )
    await stack.log.create("beta", "acme")
    await stack.log.append("acme", registered("git"))

    answer = await stack.edge.ask(subjects.ORGANISATIONS, AskOrganisations(), Organisations)

    created = [(await stack.log.store.read(org, 0))[0].recorded_at for org in ("acme", "beta")]
    assert answer.organisations == (
        OrganisationLine(organisation="acme", title="Acme", seq=2, created_at=created[0]),
        OrganisationLine(organisation="beta", title="Beta", seq=1, created_at=created[1]),
    )


async def test_every_change_is_seen_by_the_question_that_follows_it(stack: Stack) -> None:
    await stack.projections()
    await stack.projections()
    for version in range(1, 20):
        await stack.log.append("acme", published("start", version, *"abcdefghijklmnopqrs"[:version], title="T"))
        answer = await stack.edge.ask(subjects.PLAYBOOKS, AskPlaybooks(organisation="acme"), Playbooks)
        assert [(line.version, line.tools) for line in answer.playbooks] == [(version, version)]


async def test_playbooks_are_listed_by_name_with_who_changed_them_and_the_retired_ones(stack: Stack) -> None:
    await stack.projections()
    await stack.log.append("acme", published("start", 1, "log", title="Start"), published("other", 1))
    await stack.log.append("acme", PlaybookRetired(playbook="other"), actor="bob")
    await stack.log.append("beta", published("foreign", 1))

    answer = await stack.edge.ask(subjects.PLAYBOOKS, AskPlaybooks(organisation="acme"), Playbooks)

    changed = [event.recorded_at for event in await stack.log.store.read("acme", 0)]
    assert answer.playbooks == (
        PlaybookLine(
            playbook="other", title="", version=1, access="token", servers=("git",), tools=0,
            changed_at=changed[2], changed_by="bob", retired=True,
        ),
        PlaybookLine(
            playbook="start", title="Start", version=1, access="token", servers=("git",), tools=1,
            changed_at=changed[0], changed_by="ann",
        ),
    )  # fmt: skip


async def test_the_history_is_newest_first_with_who_and_why_and_outlives_the_playbook(stack: Stack) -> None:
    await stack.projections()
    first = published("start", 1, "log")
    await stack.log.append("acme", first, actor="ann", comment="begin")
    await stack.log.append("acme", published("start", 2, "log", "diff"), actor="bob", comment="more")
    await stack.log.append("acme", rolled_back("start", 3, first), actor="eve", comment="too much")
    await stack.log.append("acme", PlaybookRetired(playbook="start"))

    answer = await stack.edge.ask(subjects.HISTORY, AskHistory(organisation="acme", playbook="start"), History)

    assert [
        (line.version, line.reason, line.actor, line.comment, line.tools, line.rolled_back_to)
        for line in answer.versions
    ] == [
        (3, "rolled_back", "eve", "too much", 1, 1),
        (2, "published", "bob", "more", 2, None),
        (1, "published", "ann", "begin", 1, None),
    ]
    recorded = {event.seq: event.recorded_at for event in await stack.log.store.read("acme", 0)}
    assert [line.recorded_at for line in answer.versions] == [recorded[3], recorded[2], recorded[1]]


async def test_a_version_is_answered_whole_and_zero_is_the_current_one(stack: Stack) -> None:
    await stack.projections()
    first, second = published("start", 1, "log", title='"☂\x00"'), published("start", 2, "log", "diff")
    await stack.log.append("acme", first, second)

    async def version(number: int) -> Version:
        question = AskVersion(organisation="acme", playbook="start", version=number)
        return await stack.edge.ask(subjects.VERSION, question, Version)

    assert (await version(1)).content == first.content
    assert (await version(0)).content == second.content
    assert (await version(0)).line.version == 2
    assert (await version(1)).line.content_digest == "sha256:start-1"


async def test_two_versions_are_compared(stack: Stack) -> None:
    await stack.projections()
    await stack.log.append("acme", published("start", 1, "log"), published("start", 2, "log", "diff"))

    question = AskDiff(organisation="acme", playbook="start", before=1, after=0)
    answer = await stack.edge.ask(subjects.DIFF, question, Diff)

    assert (answer.before, answer.after) == (1, 2)
    assert [(change.kind, change.path) for change in answer.changes] == [("added", "tool git__diff")]


async def test_servers_are_listed_with_their_last_catalogue(stack: Stack) -> None:
    await stack.projections()
    changed = registered("git", "mcp-git-2").definition
    await stack.log.append(
        "acme",
        registered("git"),
        discovered("git", "log", "diff", "bad", broken=["bad"]),
        ServerReconfigured(server="git", definition=changed),
        registered("time"),
        registered("gone"),
        ServerRetired(server="gone"),
    )

    answer = await stack.edge.ask(subjects.SERVERS, AskServers(organisation="acme"), Servers)

    git, time = answer.servers
    assert (git.server, git.definition, git.tools, git.quarantined) == ("git", changed, 3, ("bad",))
    assert (git.catalogue_digest, git.discovered_at is not None) == ("sha256:3", True)
    assert (time.server, time.tools, time.discovered_at) == ("time", 0, None)


async def test_the_log_is_read_in_pages_oldest_first(stack: Stack) -> None:
    await stack.projections()
    await stack.log.fill("acme", 5)

    async def page(after: int, limit: int) -> Events:
        question = AskEvents(organisation="acme", after=after, limit=limit)
        return await stack.edge.ask(subjects.EVENTS_ASKED, question, Events)

    assert [event.seq for event in (await page(0, 3)).events] == [1, 2, 3]
    assert [event.seq for event in (await page(3, 3)).events] == [4, 5]
    assert (await page(5, 3)).events == ()
    assert [(await page(0, limit)).more for limit in (3, 4, 5, 6)] == [True, True, False, False]
    assert [event.seq for event in (await page(-1, 0)).events] == [1]
    stored = [published_of(event) for event in await stack.log.store.read("acme", 0)]
    assert list((await page(0, 2**70)).events) == stored


async def test_what_this_instance_does_not_know_yet_is_not_left_out_unsaid(log: Log) -> None:
    await log.fill("acme", 3)
    reads = Reads(log.pool, log.store, {})
    await log.tamper("update cb.event set type = 'from.tomorrow' where seq = 2")
    for newest in (False, True):
        found = await reads.events(AskEvents(organisation="acme", newest=newest))
        assert sorted(event.seq for event in found.events) == [1, 2, 3]
    await log.tamper("""update cb.event set payload = '{"type":"from.tomorrow"}' where seq = 2""")
    with pytest.raises(msgspec.ValidationError):
        await reads.events(AskEvents(organisation="acme"))


async def test_a_search_for_kinds_that_takes_too_long_is_ended_and_says_so(log: Log) -> None:
    await log.fill("acme", 3)
    reads = Reads(log.pool, log.store, {}, patience="100ms")
    for newest in (False, True):
        search = AskEvents(organisation="acme", kinds=("playbook.*",), newest=newest)
        assert len((await reads.events(search)).events) == 3
        async with log.pool.acquire() as connection, connection.transaction():
            await connection.execute("lock table cb.event in access exclusive mode")
            with pytest.raises(Problem) as refused:
                await asyncio.wait_for(reads.events(search), 10)
        assert refused.value.code == "events.too_many"


async def test_an_event_is_found_by_its_number_and_by_its_id_with_its_link_of_the_chain(stack: Stack) -> None:
    await stack.projections()
    await stack.log.fill("acme", 2)
    await stack.log.create("beta")
    _, second = await stack.log.store.read("acme", 0)

    async def ask(**which: Any) -> LoggedEvent:
        return await stack.edge.ask(subjects.EVENT_ASKED, AskEvent(**which), LoggedEvent)

    found = await ask(organisation="acme", seq=2)
    assert await ask(organisation="acme", event_id=second.event_id) == found
    assert found.event == published_of(second)
    assert (found.event_type, found.command_id) == ("playbook.published", second.command_id)
    assert found.prev_hash == (await ask(organisation="acme", seq=1)).hash
    for which in ({"seq": 3}, {"seq": 2**70}, {"seq": -1}, {"event_id": "nonsense"}, {}):
        unknown = AskEvent(organisation="acme", **which)
        assert await code_of(stack, subjects.EVENT_ASKED, unknown, LoggedEvent) == "event.unknown"
    foreign = AskEvent(organisation="beta", event_id=second.event_id)
    assert await code_of(stack, subjects.EVENT_ASKED, foreign, LoggedEvent) == "event.unknown"


async def test_a_page_of_large_events_stays_below_what_the_bus_carries(stack: Stack) -> None:
    await stack.projections()
    for version in range(1, 6):
        await stack.log.append("acme", published("start", version, title="x" * 900_000))

    seqs: list[int] = []
    more = True
    while more:
        question = AskEvents(organisation="acme", after=seqs[-1] if seqs else 0)
        answer = await stack.edge.ask(subjects.EVENTS_ASKED, question, Events)
        assert 1 <= len(answer.events) <= 2
        seqs += [event.seq for event in answer.events]
        more = answer.more

    assert seqs == [1, 2, 3, 4, 5]


async def test_what_is_not_there_has_a_code(stack: Stack) -> None:
    await stack.projections()
    await stack.log.append("acme", published("start", 1, "log"))
    await stack.log.create("beta")

    def version(number: int, playbook: str = "start", organisation: str = "acme") -> AskVersion:
        return AskVersion(organisation=organisation, playbook=playbook, version=number)

    assert await code_of(stack, subjects.PLAYBOOKS, AskPlaybooks(organisation="none"), Playbooks) == (
        "organisation.unknown"
    )
    assert await code_of(stack, subjects.SERVERS, AskServers(organisation=""), Servers) == "organisation.unknown"
    assert await code_of(stack, subjects.EVENTS_ASKED, AskEvents(organisation="none"), Events) == (
        "organisation.unknown"
    )
    history = AskHistory(organisation="acme", playbook="none")
    assert await code_of(stack, subjects.HISTORY, history, History) == "playbook.unknown"
    foreign = AskHistory(organisation="beta", playbook="start")
    assert await code_of(stack, subjects.HISTORY, foreign, History) == "playbook.unknown"
    assert await code_of(stack, subjects.VERSION, version(1, "none"), Version) == "playbook.unknown"
    for number in (2, -1, 2**70):
        assert await code_of(stack, subjects.VERSION, version(number), Version) == "playbook.version_unknown"
    diff = AskDiff(organisation="acme", playbook="start", before=1, after=9)
    assert await code_of(stack, subjects.DIFF, diff, Diff) == "playbook.version_unknown"


async def test_many_questions_at_once_while_the_log_grows_are_all_answered(stack: Stack) -> None:
    await stack.projections()
    await stack.projections()
    await stack.log.create("acme")

    async def ask() -> int:
        answer = await stack.edge.ask(subjects.PLAYBOOKS, AskPlaybooks(organisation="acme"), Playbooks)
        return len(answer.playbooks)

    filling = [asyncio.create_task(stack.log.fill("acme", 10, playbook)) for playbook in "abcd"]
    while not all(task.done() for task in filling):
        await asyncio.gather(*(ask() for _ in range(20)))

    assert await ask() == 4


async def test_the_status_names_every_projection_its_tables_its_lag_and_its_problem(stack: Stack) -> None:
    room = await stack.projections()
    await stack.log.append("acme", registered("git"), published("start", 1, "log"))
    await eventually(lambda: all(status_of(room, name).events == 2 for name in ("relay", "playbooks", "servers")))

    (status,) = await stack.edge.gather(
        subjects.STATUS, AskStatus(), InstanceStatus, within=2, enough=lambda seen: len(seen) == 1
    )

    assert (status.room, status.ready, status.problem) == ("projections", True, "")
    lines = {line.projection: line for line in status.projections}
    assert list(lines) == ["organisations", "playbooks", "servers", "definitions", "assignments", "relay", "call_log"]
    assert {line.lag for line in lines.values()} == {0}
    assert {line.problem for line in lines.values()} == {""}
    assert lines["playbooks"].tables == "playbook_1, playbook_version_1"
    assert lines["relay"].tables == subjects.STREAM_EVENTS
    await stack.log.pool.execute("alter table rm.server_1 add constraint no_evil check (server <> 'evil')")
    await stack.log.append("acme", registered("evil"))
    await eventually(lambda: "acme seq 3" in status_of(room, "servers").problem)
    await eventually(lambda: status_of(room, "servers").lag == 1)
    assert status_of(room, "playbooks").problem == ""


async def test_rows_of_the_log_after_any_number_are_none_and_no_failure(stack: Stack) -> None:
    await stack.projections()
    await stack.log.fill("acme", 2)

    for after in (2, 3, 2**63 - 1, 2**63, 2**70):
        answer = await stack.edge.ask(subjects.LOG_ROWS, AskLogRows(organisation="acme", after=after), LogRows)
        assert (answer.rows, answer.head.seq) == ((), 2)
    assert [
        row.seq
        for row in (await stack.edge.ask(subjects.LOG_ROWS, AskLogRows(organisation="acme", after=-1), LogRows)).rows
    ] == [1, 2]
