"""What a call may take: a time of silence that progress begins anew, and an end that nothing moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.connectors.rig import Rig
from tests.support.upstreams.launch import running
from tests.support.waiting import PATIENCE, eventually, promised

ERAS = pytest.mark.parametrize("era", ["2025", "2026"])
TRANSPORTS = pytest.mark.parametrize("transport", ["http", "stdio"])
IDLE = 1000


@asynccontextmanager
async def echo(rig: Rig, transport: str, era: str, ledger: Path) -> AsyncIterator[None]:
    """The echo upstream, registered and connected."""
    words = ("--era", era, "--ledger", str(ledger))
    if transport == "stdio":
        await rig.register_stdio("echo", "echo", "--stdio", *words)
        await rig.room()
        await rig.online("echo")
        yield
        return
    async with running("echo", *words) as upstream:
        await rig.register("echo", url=upstream.url)
        await rig.room()
        await rig.online("echo")
        yield


def steps(count: int, then: float = 0.0, text: str = "") -> dict[str, Any]:
    return {"steps": count, "interval": 0.1, "seconds": then, "text": text}


def lines(ledger: Path) -> list[str]:
    return ledger.read_text().split()


@ERAS
@TRANSPORTS
async def test_progress_begins_the_time_of_silence_anew(rig: Rig, transport: str, era: str, tmp_path: Path) -> None:
    async with echo(rig, transport, era, tmp_path / "ledger"):
        meta = {"progressToken": "mine"}
        answer = await rig.call("echo", "progress", steps(20), meta=meta, idle_ms=IDLE)
        assert answer.text == "20 steps"
        assert len(answer.notifications) == 20


@ERAS
@TRANSPORTS
async def test_a_call_that_falls_silent_is_ended_and_cancelled_upstream(
    rig: Rig, transport: str, era: str, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    async with echo(rig, transport, era, ledger):
        began = asyncio.get_running_loop().time()
        arguments = steps(3, then=60, text="silent")
        answer = await rig.call("echo", "progress", arguments, meta={"progressToken": 1}, idle_ms=IDLE)
        assert IDLE / 1000 < asyncio.get_running_loop().time() - began < 5
        assert len(answer.notifications) == 3
        assert answer.error["data"]["code"] == "call.deadline_exceeded"
        assert answer.error["data"]["limit"] == "idle_seconds"
        assert "for 1 s" in answer.error["message"]
        await eventually(lambda: "cancelled:silent" in lines(ledger))
        assert (await rig.record_of(answer)).outcome == "timeout"


@ERAS
@TRANSPORTS
async def test_no_progress_moves_the_end(rig: Rig, transport: str, era: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with echo(rig, transport, era, ledger):
        arguments = steps(1000, text="endless")
        answer = await rig.call("echo", "progress", arguments, meta={"progressToken": 1}, idle_ms=IDLE, within=1.5)
        assert len(answer.notifications) >= 5
        assert answer.error["data"]["limit"] == "max_seconds"
        assert answer.error["data"]["seconds"] == 1.5
        await eventually(lambda: "cancelled:endless" in lines(ledger))


@ERAS
@TRANSPORTS
async def test_progress_that_only_we_asked_for_counts_and_is_not_passed_on(
    rig: Rig, transport: str, era: str, tmp_path: Path
) -> None:
    async with echo(rig, transport, era, tmp_path / "ledger"):
        asked = await rig.call("echo", "progress", steps(15), idle_ms=IDLE, ask_progress=True)
        assert asked.text == "15 steps"
        assert asked.notifications == []
        silent = await rig.call("echo", "progress", steps(15), idle_ms=IDLE)
        assert silent.error["data"]["limit"] == "idle_seconds"


async def test_each_call_has_its_own_time_of_silence(rig: Rig, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with echo(rig, "stdio", "2026", ledger):
        busy = [
            await rig.send("echo", "progress", steps(18, text=f"busy{n}"), meta={"progressToken": n}, idle_ms=IDLE)
            for n in range(5)
        ]
        idle = [
            await rig.send(
                "echo", "progress", steps(2, then=60, text=f"idle{n}"), meta={"progressToken": n}, idle_ms=IDLE
            )
            for n in range(5)
        ]
        for answer in (*busy, *idle):
            await asyncio.wait_for(answer.done.wait(), PATIENCE)
        assert [answer.text for answer in busy] == ["18 steps"] * 5
        assert {answer.error["data"]["limit"] for answer in idle} == {"idle_seconds"}
        await eventually(lambda: {f"cancelled:idle{n}" for n in range(5)} <= set(lines(ledger)))
        assert not [line for line in lines(ledger) if line.startswith("cancelled:busy")]


async def test_a_cancellation_that_overtakes_its_call_still_stops_it(rig: Rig, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with echo(rig, "http", "2026", ledger):
        await rig.cancel(call_id="early")
        await rig.cancel(session="s1", request_id="7")
        first = await rig.call("echo", "mark", {"text": "one"}, call_id="early")
        second = await rig.call("echo", "mark", {"text": "two"}, session="s1", request_id="7")
        other = await rig.call("echo", "mark", {"text": "three"}, session="s2", request_id="7")
        assert [answer.error["data"]["code"] for answer in (first, second)] == ["call.cancelled"] * 2
        assert other.text == "three"
        assert lines(ledger) == ["three"]


async def test_calls_that_are_cancelled_as_they_begin_are_all_answered(rig: Rig, tmp_path: Path) -> None:
    async with echo(rig, "http", "2026", tmp_path / "ledger"):
        sent = []
        for _ in range(100):
            sent.append(await rig.send("echo", "slow", {"seconds": 60}, within=60))
            await rig.cancel(call_id=sent[-1].call_id)
        for answer in sent:
            await promised(answer.done.is_set, within=5)
            assert answer.error["data"]["code"] == "call.cancelled"
