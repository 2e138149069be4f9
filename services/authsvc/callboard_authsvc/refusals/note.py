"""Count refusals as they happen, without IO; write them down some seconds after the first, then a minute later.

So an attacker makes one event a minute and log at most, and soon fewer, however fast and from wherever. What is counted
and not written when a process dies is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import structlog

from callboard.contracts.problems import Problem
from callboard.contracts.sign_in_events import Door
from callboard.kernel.tally import Tally
from callboard.platform.bursts import in_bursts
from callboard_authsvc.clock import Clock
from callboard_authsvc.refusals.domain import MOST_TOLD_APART, REASONS, Attempt, Shown, attempt_of

log = structlog.get_logger()

Counted = Sequence[tuple[Attempt, int]]
Write = Callable[[Counted, int, datetime], Awaitable[None]]
"""Write down these attempts, and so many others, since a time."""


class Refusals:
    """Of this instance; `run` is its task."""

    def __init__(self, write: Write, every_seconds: float, clock: Clock) -> None:
        self._write = write
        self._every = every_seconds
        self._clock = clock
        self._tally: Tally[Attempt] = Tally(MOST_TOLD_APART)
        self._since = clock()
        self._some = asyncio.Event()

    @contextmanager
    def of(self, door: Door, shown: Shown, address: str) -> Iterator[None]:
        """Count it when what is done within is refused because nobody knows who it is."""
        try:
            yield
        except Problem as problem:
            if problem.code in REASONS:
                self.add(attempt_of(door, str(problem.data.get("error", problem.code)), shown, address))
            raise

    def add(self, attempt: Attempt) -> None:
        """One more."""
        if not self._tally:
            self._since = self._clock()
        self._tally.add(attempt)
        self._some.set()

    async def run(self) -> None:
        """Write until cancelled."""
        await in_bursts(self._some, self.flush, self._every)

    async def flush(self) -> None:
        """Write what was counted; what cannot be written waits for the next time."""
        self._some.clear()
        if not self._tally:
            return
        since, (counted, others) = self._since, self._tally.take()
        try:
            await self._write(counted, others, since)
        except Problem as problem:
            log.warning("refusals_not_written_yet", code=problem.code)
            self._since = since
            self._tally.add_others(others)
            for attempt, count in counted:
                self._tally.add(attempt, count)
            self._some.set()
