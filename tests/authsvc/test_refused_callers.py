"""T24: who came in and who did not is in the log, with a bound on what anybody can make it say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from callboard.contracts import subjects
from callboard.contracts.layers import SYSTEM
from callboard.contracts.people import ChangePassword, OfferReset, ResetOffered, ResetPassword, SessionOpened
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.contracts.refusals import NOTE_REFUSALS, NoteRefusals, RefusedCallers
from callboard.contracts.sign_in_events import Refused
from callboard.kernel.tokens import key_id_of
from callboard.platform import bursts
from callboard.platform.settings import Sensitive
from callboard_authsvc.journal import Journal
from callboard_authsvc.refusals.domain import MOST_LINES, MOST_LOGS, Batch, Found, Shown, Told, attempt_of, by_log
from callboard_authsvc.refusals.note import MOST_TRIES, Refusals
from tests.authsvc.oauth_desk import Desk, desk_of
from tests.authsvc.people import PASSWORD, Office, key_of, person_of
from tests.authsvc.stack import Edge, Stack, SteppingClock, new_id, refused

WHEN = datetime(2026, 11, 20, 14, 5, tzinfo=UTC)
ADMIN = "root@example.com"


def line(account: str = "a", count: int = 1) -> Refused:
    return Refused(door="login", reason="login.refused", count=count, account=account)


def test_however_many_are_refused_an_event_has_a_bound_and_none_is_left_out_of_the_count() -> None:
    told = by_log([Found(("acme",), line(f"a{n}", n + 1)) for n in range(MOST_LINES + 5)], 7)
    assert len(told["acme"].lines) == MOST_LINES
    assert told["acme"].lines[0] == line(f"a{MOST_LINES + 4}", MOST_LINES + 5)
    assert told["acme"].others == 1 + 2 + 3 + 4 + 5
    assert told[SYSTEM] == Told((), 7)


def test_the_same_is_one_line_and_every_organisation_of_a_person_is_told() -> None:
    told = by_log([Found(("a", "b"), line(count=2)), Found(("b",), line(count=3))], 0)
    assert told == {"a": Told((line(count=2),), 0), "b": Told((line(count=5),), 0)}


def test_so_many_organisations_at_once_are_one_number_for_the_installation() -> None:
    found = [Found((f"org-{n}",), line()) for n in range(MOST_LOGS + 30)]
    told = by_log([*found, Found((SYSTEM,), line("?x", 1))], 0)
    assert len(told) == MOST_LOGS
    assert told[SYSTEM].others == 31
    assert told[SYSTEM].words == "1 at login, 31 others"


AWAY = Problem("database.unavailable", "it is away")
UNEXPECTED = (OSError("out of the library"), asyncpg.PostgresError("a deadlock"), Problem("internal.unexpected", "no"))


class Paper:
    """What is written on it; refused with `trouble`."""

    def __init__(self) -> None:
        self.tried: list[Batch] = []
        self.trouble: Exception | None = None

    async def write(self, batch: Batch) -> None:
        self.tried.append(batch)
        if self.trouble is not None:
            raise self.trouble


def refuse(refusals: Refusals, email: str = "a") -> None:
    with pytest.raises(Problem), refusals.of("login", Shown(email=email), ""):
        raise Problem("login.refused", "no")


@pytest.mark.parametrize("trouble", [AWAY, *UNEXPECTED])
async def test_what_cannot_be_written_comes_again_as_the_same_batch_and_then_the_rest(trouble: Exception) -> None:
    paper, clock = Paper(), SteppingClock(WHEN)
    refusals = Refusals(paper.write, 60, clock)
    paper.trouble = trouble
    for _ in range(2):
        refuse(refusals)
        await refusals.flush()
        clock.step(seconds=5)
    paper.trouble = None
    for _ in range(3):
        await refusals.flush()
    first, again, at_last, rest = paper.tried
    assert first == again == at_last
    assert rest.command_id != first.command_id
    assert [(batch.since, batch.size) for batch in (first, rest)] == [(WHEN, 1), (WHEN + timedelta(seconds=5), 1)]


async def test_a_batch_that_nobody_can_write_does_not_hold_up_the_next_but_a_database_that_is_away_does() -> None:
    paper = Paper()
    refusals = Refusals(paper.write, 60, SteppingClock(WHEN))
    refuse(refusals, "a")
    for trouble, tries in ((AWAY, 20), (UNEXPECTED[0], MOST_TRIES)):
        paper.trouble = trouble
        for _ in range(tries):
            await refusals.flush()
    paper.trouble = None
    refuse(refusals, "b")
    await refusals.flush()
    assert len(paper.tried) == 20 + MOST_TRIES + 1
    assert [attempt.shown.email for attempt, _ in paper.tried[-1].counted] == ["b"]


async def test_a_burst_that_fails_is_not_the_last_and_comes_no_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    runs, wanted, enough, turn = 0, asyncio.Event(), asyncio.Event(), asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 6:
            enough.set()
        await turn(0)

    async def work() -> None:
        nonlocal runs
        runs += 1
        wanted.clear()
        if runs < 3:
            raise OSError("unexpected")

    monkeypatch.setattr(bursts.asyncio, "sleep", sleep)
    running = asyncio.create_task(bursts.in_bursts(wanted, work, 60))
    wanted.set()
    await asyncio.wait_for(enough.wait(), 10)
    running.cancel()
    assert slept == [2.0, 60, 2.0, 120, 2.0, 240]


async def test_who_never_stops_is_told_of_ever_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    runs, wanted, turn = 0, asyncio.Event(), asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await turn(0)

    async def work() -> None:
        nonlocal runs
        runs += 1
        wanted.clear()
        if runs < 7:
            wanted.set()

    monkeypatch.setattr(bursts.asyncio, "sleep", sleep)
    running = asyncio.create_task(bursts.in_bursts(wanted, work, 60))
    for _ in range(2):
        wanted.set()
        await asyncio.wait([running], timeout=0.05)
    running.cancel()
    assert slept[::2] == [2.0] * 8
    assert slept[1::2] == [60, 120, 240, 480, 960, 960, 960, 60]


async def test_a_burst_is_written_once_and_the_next_a_minute_later(monkeypatch: pytest.MonkeyPatch) -> None:
    paper = Paper()
    slept: list[float] = []
    go_on = asyncio.Event()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await go_on.wait()

    monkeypatch.setattr(bursts.asyncio, "sleep", sleep)
    refusals = Refusals(paper.write, 60, SteppingClock(WHEN))
    running = asyncio.create_task(refusals.run())
    for n in range(2000):
        refuse(refusals, f"{n}@example.com")
    await asyncio.wait([running], timeout=0)
    assert (paper.tried, slept) == ([], [2.0])
    go_on.set()
    await asyncio.wait([running], timeout=0.05)
    running.cancel()
    assert [batch.size for batch in paper.tried] == [2000]
    assert slept[:2] == [2.0, 60.0]


def test_nothing_long_is_kept_and_what_is_known_is_not_counted() -> None:
    assert Shown(email="a" * 10_000, client_id="c" * 10_000, key_id="k" * 10_000).bounded == Shown()
    refusals = Refusals(pytest.fail, 60, SteppingClock(WHEN))  # type: ignore[arg-type]
    with pytest.raises(Problem), refusals.of("login", Shown(), ""):
        raise Problem("argument.invalid", "password: use 12 to 128 characters")
    assert not refusals._tally


# --- with a database ----------------------------------------------------------------------------------


class Log:
    """What stands in the logs, as an operator reads it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    async def of(self, organisation: str, kind: str) -> list[dict[str, Any]]:
        query = "select payload, meta from cb.event where organisation = $1 and type = $2 order by seq"
        rows = await self.stack.rows(query, organisation, kind)
        return [{**json.loads(row["payload"]), "by": json.loads(row["meta"])["actor"]} for row in rows]

    async def refused(self, organisation: str) -> list[tuple[str, str, str, int]]:
        """Every line, after what was counted is written."""
        for room in self.stack.rooms:
            assert room._refusals is not None
            await room._refusals.flush()
        events = await self.of(organisation, "authentication.refused")
        return [(li["door"], li["reason"], li.get("account", ""), li["count"]) for e in events for li in e["lines"]]


@pytest_asyncio.fixture
async def office(stack: Stack) -> AsyncIterator[Office]:
    await stack.authsvc(admin_email=ADMIN, admin_password=Sensitive(PASSWORD))
    edge = Edge(await stack.bus_of("edge"))
    await edge.create("acme")
    await edge.create("other")
    yield Office(edge)


async def test_who_signs_in_is_told_in_the_organisations_of_that_person_and_in_no_other(
    stack: Stack, office: Office
) -> None:
    log = Log(stack)
    ann, bob = await office.join("ann", "owner"), await office.join("bob", "owner", "other")
    again = await office.sign_in("ann@example.com")
    root = await office.sign_in(ADMIN)

    def said(opened: SessionOpened, means: str) -> dict[str, Any]:
        person, session = person_of(opened), key_of(opened)
        event = {"type": "person.signed_in", "person": person, "session": session, "means": means}
        return {**event, "by": f"{person}/{session}"}

    assert await log.of("acme", "person.signed_in") == [said(ann, "invitation"), said(again, "password")]
    assert await log.of("other", "person.signed_in") == [said(bob, "invitation")]
    assert await log.of(SYSTEM, "person.signed_in") == [said(root, "password")]


async def test_another_password_is_told_and_so_is_who_gave_out_the_link(stack: Stack, office: Office) -> None:
    log = Log(stack)
    ann = await office.join("ann", "owner")
    wanted = ChangePassword(session=ann.session, current=PASSWORD, password="another long password")
    await office.bus.ask(subjects.CHANGE_PASSWORD, wanted, SessionOpened)
    question = OfferReset(email="ann@example.com", actor="root/k")
    offered = await office.bus.ask(subjects.OFFER_RESET, question, ResetOffered)
    await office.bus.ask(subjects.RESET_PASSWORD, ResetPassword(token=offered.token, password=PASSWORD), Done)
    assert [(e["person"], e["by"]) for e in await log.of("acme", "person.reset_link_made")] == [
        (person_of(ann), "root/k")
    ]
    rows = await stack.rows("select payload from cb.event where type = 'person.password_set' order by seq")
    assert [json.loads(row["payload"])["by"] for row in rows] == ["password", "link"]
    assert len(await log.of("acme", "person.signed_in")) == 1


async def test_refused_sign_ins_are_counted_by_account_and_address_and_nothing_that_was_typed_is_kept(
    stack: Stack, office: Office
) -> None:
    log = Log(stack)
    ann = await office.join("ann", "owner")
    await office.join("bob", "owner", "other")
    for password in ("wrong password 1", "wrong password 2"):
        await refused("login.refused", office.sign_in("ann@example.com", password, address="192.0.2.9"))
    await refused("login.refused", office.sign_in("ANN@example.com", "wrong password 3", address="198.51.100.1"))
    hostile = ["eve@example.com", "x" * 100_000, "\x00", "my secret password", 'a"}\n{"type":"person.signed_in"@x.y']
    for name in hostile:
        await refused("login.refused", office.sign_in(name, address="2001:db8::1"))
    await refused(
        "reset.unknown", office.bus.ask(subjects.RESET_PASSWORD, ResetPassword(token="x", password=PASSWORD), Done)
    )

    lines = await log.refused("acme")

    assert lines == [("login", "login.refused", person_of(ann), 2), ("login", "login.refused", person_of(ann), 1)]
    assert await log.refused("other") == []
    system = await log.refused(SYSTEM)
    assert sorted(count for *_, count in system) == [1] * 6
    assert {reason for _, reason, *_ in system} == {"login.refused", "reset.unknown"}
    unknown = [account for *_, account, _ in system if account]
    assert len(unknown) == 4  # the endless one is nobody's, and so is a link
    assert all(account.startswith("?") and len(account) == 17 for account in unknown)
    [event] = await log.of("acme", "authentication.refused")
    assert len({one["address"] for one in event["lines"]}) == 2
    stored = "".join(row["payload"] + row["meta"] for row in await stack.rows("select payload, meta from cb.event"))
    for typed in ("wrong password", "example.com", "x" * 300, "my secret", "192.0.2.9", "198.51", "2001:db8"):
        assert typed not in stored
    assert len(await log.of("acme", "person.signed_in")) == 1


async def test_what_edges_refused_is_told_where_the_key_belongs_and_the_same_message_only_once(
    stack: Stack, office: Office
) -> None:
    log = Log(stack)
    issued = await office.edge.issue()
    revoked = await office.edge.issue(client="gone")
    await stack.rows("update cb.token set revoked_at = now() where key_id = $1", revoked.key_id)
    common: dict[str, Any] = {"door": "mcp", "reason": "auth.invalid", "count": 4}
    lines = (
        RefusedCallers(**common, organisation="acme"),
        RefusedCallers(**common, organisation="other", key_id=issued.key_id),
        RefusedCallers(**common, key_id=revoked.key_id, address="192.0.2.9"),
        RefusedCallers(**common, organisation="never-was"),
        RefusedCallers(**common, organisation="../*", key_id="\x00'; --"),
    )
    command = NoteRefusals(command_id=new_id(), since=WHEN, until=WHEN, lines=lines, others=9)
    for _ in range(2):
        await office.bus.ask(NOTE_REFUSALS, command, Done)

    found = await log.refused("acme")
    assert sorted(found) == [
        ("mcp", "auth.invalid", "", 4),
        ("mcp", "auth.invalid", issued.key_id, 4),
        ("mcp", "token.revoked", revoked.key_id, 4),
    ]
    assert key_id_of(issued.token) == issued.key_id
    assert await log.refused("other") == []
    assert await log.refused(SYSTEM) == [("mcp", "auth.invalid", "", 8)]
    [event] = await log.of(SYSTEM, "authentication.refused")
    assert event["others"] == 9
    rows = await stack.rows("select 1 from cb.log_head where organisation not in ('acme', 'other', $1)", SYSTEM)
    assert rows == []


async def test_a_batch_of_which_some_logs_were_told_is_told_to_the_rest_and_to_none_twice(
    stack: Stack, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.join("ann", "owner")
    await office.join("bob", "owner", "other")
    [room] = stack.rooms
    assert room._refusals is not None
    writer: Any = room._refusals._write.__self__  # type: ignore[attr-defined]
    note, told = writer.journal.note, list[str]()

    async def failing(noted: Any, event: Any) -> None:
        if told:
            raise asyncpg.PostgresError("the second fails")
        told.append(noted.organisation)
        await note(noted, event)

    shown = ("ann@example.com", "bob@example.com", "carl@example.com", "dave@example.com")
    for email in shown:
        room._refusals.add(attempt_of("login", "login.refused", Shown(email=email), ""))
    with monkeypatch.context() as patched:
        patched.setattr(writer.journal, "note", failing)
        await room._refusals.flush()
    await office.join("carl", "owner")  # what the same batch comes to has changed for a log that was told
    await room._refusals.flush()

    logs = {name: len(await Log(stack).refused(name)) for name in ("acme", "other", SYSTEM)}
    assert (told, logs["other"]) == ([SYSTEM], 1)
    assert (logs["acme"], logs[SYSTEM]) == (2, 2)


async def test_a_client_that_is_not_who_it_says_and_a_person_who_says_no_are_told(stack: Stack) -> None:
    desk: Desk = await desk_of(stack, SteppingClock())
    log = Log(stack)
    ann = await desk.office.join("ann", "user")
    client_id = await desk.register()
    request = await desk.request(client_id, scope="mcp:use")
    await desk.consent(request, ann)
    await desk.refuse(request, ann)
    [event] = await log.of("acme", "grant.consent_refused")
    assert (event["member"], event["client_id"], event["playbook"]) == (person_of(ann), client_id, "start")
    assert (event["by"], event["client_name"]) == (f"{person_of(ann)}/{key_of(ann)}", "Agent")

    elsewhere = await desk.request(client_id, resource="http://127.0.0.1:8700/p/other/secret/mcp")
    await desk.refuse(elsewhere, ann)
    [event] = await log.of(SYSTEM, "grant.consent_refused")
    assert (event["playbook"], event["client_name"]) == ("", "")
    assert (await desk.token(grant_type="client_credentials", client_id="nobody", client_secret="x")).status == 401
    [(door, reason, account, count)] = await log.refused(SYSTEM)
    assert (door, reason, count) == ("oauth", "invalid_client", 1)
    assert account.startswith("?")


async def test_a_client_hears_that_a_person_said_no_also_when_that_cannot_be_written_down(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk: Desk = await desk_of(stack, SteppingClock())
    ann = await desk.office.join("ann", "user")
    request = await desk.request(await desk.register(), scope="mcp:use")

    async def failing(*_: Any) -> None:
        raise asyncpg.PostgresError("no")

    monkeypatch.setattr(Journal, "note", failing)
    assert "error=access_denied" in await desk.refuse(request, ann)
