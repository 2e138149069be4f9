"""The deadlines of calls, on a clock of their own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callboard.contracts.calls import MODERN, CallHead
from callboard_connectors.calls.in_flight import Call, Deadlines
from callboard_connectors.transports.envelope import decode


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time is what the test says; timers fire a hair early, as real ones may."""

    now = 100.0

    def time(self) -> float:
        return self.now


def call(idle_ms: int) -> Call:
    words: dict[str, Any] = dict.fromkeys(CallHead.__struct_fields__[:13], "")
    head = CallHead(**{**words, "version": 1, "era": MODERN, "idle_ms": idle_ms}, deadline=0, received=0, routed=0)
    made = Call(head, _publish, _flush, 1 << 20, Deadlines())
    made.number = 7
    return made


async def _publish(subject: str, data: bytes) -> None:
    """Nobody listens."""


async def _flush() -> None:
    """Nothing is on its way."""


PROGRESS = b'{"method":"notifications/progress","params":{"progressToken":%d,"progress":1}}'


@pytest.mark.parametrize(
    ("idle_ms", "steps", "ending"),
    [
        (0, [9.9999], ""),
        (0, [10.0], "timeout"),
        (2000, [1.9999], ""),
        (2000, [2.0], "idle"),
        (2000, [1.5, 1.5, 1.5], ""),
        (2000, [1.5, 1.5, 2.0], "idle"),
        (2000, [1.5] * 7, "timeout"),
        (0, [1.5] * 6, ""),
    ],
)
def test_a_call_ends_when_it_stayed_idle_or_its_time_is_up(idle_ms: int, steps: list[float], ending: str) -> None:
    loop = Clock()

    async def run() -> str:
        one = call(idle_ms)
        one.start(10.0)
        for number, step in enumerate(steps):
            loop.now += step
            one._deadlines._look()
            if number + 1 < len(steps):
                await one.notified(decode(PROGRESS % 7), b"")
                await one.notified(decode(PROGRESS % 8), b"")
        one.settle()
        return one.ending

    try:
        assert loop.run_until_complete(run()) == ending
    finally:
        loop.close()


def test_the_time_of_a_question_to_the_client_is_not_the_servers() -> None:
    loop = Clock()

    async def run() -> list[str]:
        one = call(2000)
        one.start(10.0)
        endings: list[str] = []
        for step, act in (
            (1.0, one.pause),
            (600.0, one.resume),
            (1.9, one._deadlines._look),
            (0.1, one._deadlines._look),
        ):
            loop.now += step
            act()
            endings.append(one.ending)
        one.settle()
        return endings

    try:
        assert loop.run_until_complete(run()) == ["", "", "", "idle"]
    finally:
        loop.close()


def test_one_timer_does_for_all_calls_and_each_ends_in_its_own_time() -> None:
    loop = Clock()

    async def run() -> list[tuple[str, ...]]:
        calls = [call(0), call(2000), call(0), call(0)]
        deadlines = Deadlines()
        for one, seconds in zip(calls, (8.0, 10.0, 3.0, 5.0), strict=True):
            one._deadlines = deadlines
            one.start(seconds)
        calls[3].settle()
        seen = []
        for due in (102.0, 103.0, 108.0):
            assert deadlines._timer is not None
            assert deadlines._timer.when() == due
            loop.now = due
            deadlines._look()
            seen.append(tuple(one.ending for one in calls))
        assert deadlines._timer is None
        return seen

    try:
        assert loop.run_until_complete(run()) == [
            ("", "idle", "", ""),
            ("", "idle", "timeout", ""),
            ("timeout", "idle", "timeout", ""),
        ]
    finally:
        loop.close()
