"""Waiting for something to become true, in place of sleeping for a while."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Self, TypeVar, overload

from nats.aio.client import Client

T = TypeVar("T")
PATIENCE = 30.0
"""Seconds after which a wait is a hang, also on a machine that is busy with something else. A bound that is itself what
is promised (revoked within 2 s, stopped within 5 s) is another thing, and stands where it is tested."""


@overload
async def eventually(check: Callable[[], Awaitable[T]], within: float = ..., every: float = ...) -> T: ...
@overload
async def eventually(check: Callable[[], T], within: float = ..., every: float = ...) -> T: ...
async def eventually(check: Callable[[], object], within: float = PATIENCE, every: float = 0.02) -> object:
    """Return the first true result of `check`, which may be a coroutine function; fail after `within` seconds.

    A check that asserts is tried again too, and its last failure is the one reported.
    """
    deadline = time.monotonic() + within
    return await _tried(check, lambda: time.monotonic() >= deadline, every, f"after {within:g} s")


async def promised(check: Callable[[], object], within: float, every: float = 0.02) -> None:
    """The same where the bound is itself what is promised, and a busy machine does not count as a broken promise.

    Time for which this process was kept waiting for a processor is not counted: see `Stalls`.
    """
    hang = time.monotonic() + within + PATIENCE
    async with Stalls() as stalls:

        def over() -> bool:
            return stalls.elapsed >= within or time.monotonic() >= hang

        await _tried(check, over, every, f"after {within:g} s")


async def _tried(check: Callable[[], object], over: Callable[[], bool], every: float, when: str) -> object:
    while True:
        failure: AssertionError | None = None
        try:
            found = check()
            result = await found if inspect.isawaitable(found) else found
            if result:
                return result
        except AssertionError as error:
            failure = error
        if over():
            raise failure or AssertionError(f"still not true {when}: {check!r}")
        await asyncio.sleep(every)


class Stalls:
    """How long the machine keeps this process from running, while the block lasts.

    A heartbeat comes late by the time that the process waited for a processor or worked itself; its own work, which is
    the product's where rooms run in the process of the test, is taken off. What is promised passes through several
    processes in turn (the asker, NATS, two rooms), and each of them waits like this one: so it counts as often.
    """

    _EVERY = 0.01
    _IN_TURN = 4

    def __init__(self) -> None:
        self._late = 0.0
        self._at = self._worked = self._began = 0.0
        self._beating: asyncio.Task[None] | None = None

    @property
    def excused(self) -> float:
        """Seconds that are not counted against a promise."""
        return (self._late + self._lateness()) * self._IN_TURN

    @property
    def elapsed(self) -> float:
        """Seconds since the block began that count."""
        return time.monotonic() - self._began - self.excused

    def _lateness(self) -> float:
        late = time.monotonic() - self._at - self._EVERY - (time.process_time() - self._worked)
        # A timer is a little late on a quiet machine too.
        return late if late > self._EVERY / 2 else 0.0

    async def _beat(self) -> None:
        while True:
            self._at, self._worked = time.monotonic(), time.process_time()
            await asyncio.sleep(self._EVERY)
            self._late += self._lateness()

    async def __aenter__(self) -> Self:
        self._began = self._at = time.monotonic()
        self._worked = time.process_time()
        self._beating = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)


async def settled(client: Client) -> None:
    """Return once the server knows what this connection subscribed to and has what it published.

    Twice, because nats-py writes the question past what still waits to be written; and without a bound that a busy
    machine could break, because it stops reading when an answer comes that nobody waits for any more.
    """
    for _ in range(2):
        await client.flush(int(2 * PATIENCE))
