"""Follow the log: every organisation, every event, in order, once; from Postgres, which is the truth.

A hint on the bus wakes it at once; without hints a sweep of the heads finds what is new within half a second.
So losing the bus costs latency, never an event: a gapless `seq` shows what is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from callboard.contracts.events import Recorded
from callboard.platform.event_store import EventStore
from callboard.platform.postgres import UNREACHABLE

log = structlog.get_logger()
Apply = Callable[[list[Recorded]], Awaitable[None]]

SWEEP_SECONDS = 0.5
BATCH = 500


class LogFollower:
    """Feeds `apply` with batches of one organisation, and keeps the position of each in memory.

    `apply` may raise one of the database's "away" errors: the batch is then read again. Positions may be
    started from elsewhere with `start_at`.
    """

    def __init__(self, store: EventStore, apply: Apply) -> None:
        self._store = store
        self._apply = apply
        self._at: dict[str, int] = {}
        self._heads: dict[str, int] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._wake = asyncio.Event()
        self.caught_up = asyncio.Event()
        self.applied = 0

    def start_at(self, positions: Mapping[str, int]) -> None:
        """Where each organisation stands already."""
        self._at.update(positions)

    def position(self, organisation: str) -> int:
        """The last `seq` applied."""
        return self._at.get(organisation, 0)

    def lag(self) -> int:
        """Events known to be in the log and not applied yet, over all organisations."""
        return sum(max(0, head - self._at.get(org, 0)) for org, head in self._heads.items())

    def hint(self, organisation: str, seq: int) -> None:
        """Somebody says that the log of an organisation reached `seq`."""
        if seq > self._heads.get(organisation, 0):
            self._heads[organisation] = seq
            self._wake.set()

    async def catch_up(self, organisation: str) -> int:
        """Apply everything that is committed now; returns the position reached."""
        async with self._locks.setdefault(organisation, asyncio.Lock()):
            while True:
                batch = await self._store.read(organisation, self.position(organisation), BATCH)
                if batch:
                    await self._apply(batch)
                    self._at[organisation] = batch[-1].seq
                    self.applied += len(batch)
                if len(batch) < BATCH:
                    return self.position(organisation)

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._round()
                self.caught_up.set()
            except UNREACHABLE as error:
                log.info("log_away", reason=type(error).__name__)
            except Exception:
                # A fault in `apply` must not end the following of the log: it is tried again, and seen as lag.
                log.exception("log_follow_failed")
            try:
                await asyncio.wait_for(self._wake.wait(), SWEEP_SECONDS)
            except TimeoutError:
                for organisation, head in (await self._sweep()).items():
                    # A hint that came meanwhile may know more than the sweep read.
                    self._heads[organisation] = max(head, self._heads.get(organisation, 0))
            self._wake.clear()

    async def _round(self) -> None:
        if not self.caught_up.is_set():
            self._heads.update(await self._store.heads())
        behind = [org for org, head in self._heads.items() if head > self._at.get(org, 0)]
        for organisation in behind:
            reached = await self.catch_up(organisation)
            self._heads[organisation] = max(self._heads[organisation], reached)

    async def _sweep(self) -> dict[str, int]:
        try:
            return await self._store.heads()
        except UNREACHABLE:
            return {}
