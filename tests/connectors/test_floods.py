"""A server that says more than anybody can read: its call ends by name, and nobody else notices."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from callboard.contracts.calls import ERROR, NOTIFICATION
from callboard_connectors.calls.pace import BYTES, NOTIFICATIONS, PER_SECOND, Pace
from tests.connectors.rig import Answer, Rig
from tests.support.upstreams.launch import running
from tests.support.waiting import PATIENCE, Stalls, eventually

FLOOD = 30_000
TOKEN = {"progressToken": "mine"}
QUICK = 3.0
"""Seconds; without a flood such a call takes a few milliseconds."""


async def others_stay_quick(rig: Rig, flood: Answer) -> int:
    """Call another server of the worker until the flood is over; how often."""
    made = 0
    while not flood.done.is_set() or made < 3:
        async with Stalls() as watch:
            assert (await rig.call("echo", "echo", {"text": str(made)}, within=PATIENCE)).text == str(made)
            assert watch.elapsed < QUICK
        made += 1
    return made


def is_named(flood: Answer) -> None:
    assert flood.error["data"]["code"] == "server.too_talkative"
    assert "'bad'" in flood.error["message"]
    kinds = [head.kind for head, _ in flood.frames]
    assert kinds == [NOTIFICATION] * (len(kinds) - 1) + [ERROR]
    assert len(kinds) <= NOTIFICATIONS + FLOOD // 10  # what runs off while they come


@pytest.mark.parametrize("mode", ["flood-lines", "flood-events"])
@pytest.mark.parametrize("heard", [True, False], ids=["heard", "unheard"])
async def test_endless_notifications_end_their_call_and_delay_no_other(
    rig: Rig, mode: str, heard: bool, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    async with running("faulty", "--ledger", ledger) as upstream, running("echo") as echo:
        await rig.register("bad", url=upstream.at(f"/mode/{mode}"))
        await rig.register("echo", url=echo.url)
        await rig.worker("w1")
        await rig.online("bad")
        await rig.online("echo")
        flood = await rig.send("bad", "ping", within=30, ask_progress=True, meta=TOKEN if heard else {})
        await asyncio.wait_for(others_stay_quick(rig, flood), 40)
        is_named(flood)
        assert bool(flood.notifications) is heard
        await eventually(lambda: "ended" in ledger.read_text())
        assert (await rig.record_of(flood)).problem == "server.too_talkative"


async def test_the_deadline_ends_a_flooding_call(rig: Rig) -> None:
    async with running("faulty") as upstream:
        await rig.register("bad", url=upstream.at("/mode/flood-lines"))
        await rig.worker("w1")
        await rig.online("bad")
        async with Stalls() as watch:
            answer = await rig.call("bad", "ping", within=0.2, meta=TOKEN)
            assert answer.error["data"]["code"] in ("call.deadline_exceeded", "server.too_talkative")
            assert watch.elapsed < QUICK


@pytest.mark.parametrize("carrier", ["stdio", "sse", "websocket"])
async def test_a_flood_on_a_pipe_ends_its_call_and_the_pipe_goes_on(rig: Rig, carrier: str) -> None:
    words = ["--websocket"] if carrier == "websocket" else ["--era", "2025"]
    async with running("echo", *words) as upstream, running("echo") as echo:
        if carrier == "stdio":
            await rig.register_stdio("bad", "echo", "--stdio")
        else:
            await rig.register("bad", url=upstream.websocket if carrier == "websocket" else upstream.at("/sse"))
        await rig.register("echo", url=echo.url)
        await rig.worker("w1")
        await rig.online("bad")
        await rig.online("echo")
        few = await rig.call("bad", "progress", {"steps": 3_000}, meta=TOKEN)
        assert [one["params"]["progress"] for one in few.notifications] == list(range(1, 3_001))
        flood = await rig.send("bad", "progress", {"steps": FLOOD}, within=30, meta=TOKEN)
        await asyncio.wait_for(others_stay_quick(rig, flood), 40)
        is_named(flood)
        assert (await rig.call("bad", "echo", {"text": "still here"})).text == "still here"


@pytest.mark.parametrize(
    ("count", "size", "every", "fits"),
    [
        (NOTIFICATIONS, 100, 0.0, True),
        (NOTIFICATIONS + 1, 100, 0.0, False),
        (10 * NOTIFICATIONS, 100, 1 / PER_SECOND, True),
        (10 * NOTIFICATIONS, 100, 0.5 / PER_SECOND, False),
        (1, BYTES, 0.0, True),
        (2, BYTES, 1.0, False),
    ],
)
def test_how_much_a_server_may_say(count: int, size: int, every: float, fits: bool) -> None:
    pace = Pace(0.0)
    assert all([pace.said(size, number * every) for number in range(count)]) is fits
