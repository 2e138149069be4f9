"""Who is served which version: what the read model says of pins and canaries, live and rebuilt."""

from __future__ import annotations

from datetime import UTC, datetime

from callboard.contracts import subjects
from callboard.contracts.assignments import AskPins, Pins
from callboard.contracts.events import (
    CanaryEnded,
    CanaryPromoted,
    CanaryStarted,
    ClientPinned,
    ClientUnpinned,
    PlaybookRetired,
)
from callboard.contracts.records import (
    AskHistory,
    AskPlaybooks,
    AskRebuild,
    AskVersion,
    History,
    Playbooks,
    RebuildProjection,
    Rebuilt,
    Version,
)
from tests.projections.stack import Stack, content, published
from tests.support.waiting import eventually

UNTIL = datetime(2030, 1, 1, tzinfo=UTC)


def started(canary: str, playbook: str = "start") -> CanaryStarted:
    return CanaryStarted(
        playbook=playbook, canary=canary, version=1, percent=10, until=UNTIL, condition="errors > 2%", min_calls=50
    )


def pinned(client: str, version: int, playbook: str = "start") -> ClientPinned:
    return ClientPinned(playbook=playbook, client=client, version=version)


async def pins(stack: Stack, playbook: str = "") -> list[tuple[str, str, int]]:
    found = await stack.edge.ask(subjects.PINS, AskPins(organisation="acme", playbook=playbook), Pins)
    return [(pin.playbook, pin.client, pin.version) for pin in found.pins]


async def canaries(stack: Stack) -> dict[str, str]:
    found = await stack.edge.ask(subjects.PLAYBOOKS, AskPlaybooks(organisation="acme"), Playbooks)
    return {line.playbook: line.canary.canary for line in found.playbooks if line.canary is not None}


async def test_pins_come_move_and_go(stack: Stack) -> None:
    await stack.projections()
    await stack.log.append("acme", published("start", 1, "log"), published("start", 2, "log"))
    await stack.log.append("acme", pinned("ann", 1), pinned("bob", 1), pinned("ann", 1, "other"))
    assert await pins(stack, "start") == [("start", "ann", 1), ("start", "bob", 1)]
    assert len(await pins(stack)) == 3
    await stack.log.append("acme", pinned("ann", 2), ClientUnpinned(playbook="start", client="bob"), comment="moved")
    assert await pins(stack, "start") == [("start", "ann", 2)]
    version = await stack.edge.ask(subjects.VERSION, AskVersion(organisation="acme", playbook="start"), Version)
    assert [(pin.client, pin.comment, pin.pinned_by) for pin in version.pins] == [("ann", "moved", "ann")]
    history = await stack.edge.ask(subjects.HISTORY, AskHistory(organisation="acme", playbook="start"), History)
    assert [pin.client for pin in history.pins] == ["ann"]
    await stack.log.append("acme", PlaybookRetired(playbook="start"))
    assert await pins(stack) == [("other", "ann", 1)]


async def test_a_canary_is_shown_while_it_runs_and_its_promotion_is_a_version(stack: Stack) -> None:
    await stack.projections()
    await stack.log.append("acme", published("start", 1, "log"), published("start", 2, "log"), started("one"))
    assert await canaries(stack) == {"start": "one"}
    ended = CanaryEnded(playbook="start", canary="one", tried=1, reason="stopped")
    await stack.log.append("acme", ended, started("two"))
    assert await canaries(stack) == {"start": "two"}
    promoted = CanaryPromoted(
        playbook="start", canary="two", version=3, tried=1, content=content("log"), content_digest="sha256:start-1"
    )
    await stack.log.append("acme", promoted, comment="errors 0%")
    assert await canaries(stack) == {}
    history = await stack.edge.ask(subjects.HISTORY, AskHistory(organisation="acme", playbook="start"), History)
    newest = history.versions[0]
    assert (newest.version, newest.reason, newest.rolled_back_to, newest.comment) == (3, "promoted", 1, "errors 0%")


async def test_the_assignments_rebuilt_are_the_live_ones(stack: Stack) -> None:
    await stack.projections()
    await stack.log.append("acme", published("start", 1, "log"), published("gone", 1, "log"))
    await stack.log.append(
        "acme",
        pinned("ann", 1), pinned("bob", 1), pinned("ann", 2), started("one"),
        CanaryEnded(playbook="start", canary="one", tried=1, reason="failed"), started("two"),
        pinned("ann", 1, "gone"), started("three", "gone"),
        CanaryEnded(playbook="gone", canary="three", tried=1, reason="superseded"), PlaybookRetired(playbook="gone"),
        ClientUnpinned(playbook="start", client="bob"), pinned("cy", 1),
    )  # fmt: skip
    before = await pins(stack), await canaries(stack)
    await stack.edge.ask(subjects.REBUILD, RebuildProjection(projection="assignments"), Rebuilt)

    async def done() -> Rebuilt | None:
        state = await stack.edge.ask(subjects.REBUILD_STATE, AskRebuild(projection="assignments"), Rebuilt)
        return state if state.state != "running" else None

    rebuilt = await eventually(done)
    assert rebuilt is not None
    assert (rebuilt.state, rebuilt.checksum_after) == ("done", rebuilt.checksum_before)
    assert (await pins(stack), await canaries(stack)) == before == (
        [("start", "ann", 2), ("start", "cy", 1)], {"start": "two"},
    )  # fmt: skip
