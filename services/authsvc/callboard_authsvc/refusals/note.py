"""Count refusals as they happen, without IO; write them down some seconds after the first, then a minute later.

So an attacker makes one event a minute and log at most, and soon fewer, however fast and from wherever. What is counted
and not written when a process dies is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from callboard.contracts.problems import Problem
from callboard.contracts.sign_in_events import Door
from callboard.kernel.tally import Tally
from callboard.platform.bursts import in_bursts
from callboard.platform.event_store import new_id
from callboard_authsvc.clock import Clock
from callboard_authsvc.refusals.domain import MOST_TOLD_APART, REASONS, Attempt, Batch, Shown, attempt_of

log = structlog.get_logger()

Write = Callable[[Batch], Awaitable[None]]
MOST_TRIES: Final = 5
"""For a batch at which something unexpected fails: one that never can be written must not hold up the next."""


class Refusals:
    """Of this instance; `run` is its task."""

    def __init__(self, write: Write, every_seconds: float, clock: Clock) -> None:
        self._write = write
        self._every = every_seconds
        self._clock = clock
        self._tally: Tally[Attempt] = Tally(MOST_TOLD_APART)
        self._since = clock()
        self._some = asyncio.Event()
        self._unwritten: Batch | None = None
        self._tries = 0

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
        """Write what was counted. What could not be written is written first the next time, as the same batch."""
        self._some.clear()
        if self._unwritten is None and self._tally:
            self._unwritten, self._tries = Batch(new_id(), self._since, self._clock(), *self._tally.take()), 0
        if self._unwritten is None:
            return
        try:
            await self._write(self._unwritten)
        except Exception as error:
            if not self._given_up(self._unwritten, error):
                self._some.set()
                return
        self._unwritten = None
        if self._tally:
            self._some.set()

    def _given_up(self, batch: Batch, error: Exception) -> bool:
        if isinstance(error, Problem) and error.code == "database.unavailable":
            log.info("refusals_not_written_yet", code=error.code)
            return False
        self._tries += 1
        given_up = self._tries >= MOST_TRIES
        name = type(error).__name__
        log.error("refusals_not_written", error=name, given_up=batch.size if given_up else 0, exc_info=error)
        return given_up
