"""Hold the leases of servers: get those that are free, renew ours, give up what is lost before anything else.

Above: the room (is told what it owns). Below: `adapters.lease_bucket`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from callboard_connectors.placement.domain import (
    ABSENT,
    RENEW_SECONDS,
    SILENT_SECONDS,
    TTL_SECONDS,
    Lease,
    Sighting,
    delay,
    is_dead,
    is_lost,
    sighted,
)
from callboard_connectors.registry.domain import ServerKey

log = structlog.get_logger()
_TICK_SECONDS = 0.1
_ALIVE_SECONDS = 0.5
_AT_ONCE = 32


class Bucket(Protocol):
    """Where leases are kept. Nothing raises: None means "not now" (the bucket or the bus is away)."""

    async def read(self, key: str) -> tuple[Lease | None, int] | None:
        """The lease and its revision; (None, revision of the tombstone or 0) when nobody holds it."""

    async def write(self, key: str, lease: Lease, last: int) -> int | None:
        """Write if the newest revision is `last`; the new revision, or 0 when it is not.

        None when that is not known (no answer), ABSENT when there is no bucket now.
        """

    async def clear(self, key: str, last: int) -> None:
        """Give a lease back, if it is still at this revision."""

    async def answers(self, worker: str) -> bool:
        """Whether a worker answers (False only when nobody is there to hear it)."""

    @property
    def connected(self) -> bool:
        """Whether the bus is there."""


class _Place:
    """One server as the tick sees it."""

    __slots__ = ("heard", "key", "renewed_at", "revision", "sighting", "try_at", "working")

    def __init__(self, key: ServerKey, try_at: float) -> None:
        self.key = key
        self.revision = 0  # of our lease; 0 while it is not ours
        self.renewed_at = 0.0
        self.heard = 0.0  # when somebody else's renewal was last heard
        self.try_at = try_at
        self.sighting: Sighting | None = None
        self.working: asyncio.Task[None] | None = None


class Placement:
    """The leases of this worker."""

    def __init__(
        self,
        worker: str,
        bucket: Bucket,
        acquired: Callable[[ServerKey, int], Awaitable[None]],
        lost: Callable[[ServerKey], Awaitable[None]],
    ) -> None:
        self._worker = worker
        self._bucket = bucket
        self._acquired = acquired
        self._lost = lost
        self._places: dict[str, _Place] = {}
        self._alive: dict[str, tuple[float, bool]] = {}
        self._generations: dict[str, int] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)

    def want(self, key: ServerKey) -> None:
        """A server that somebody has to own; once is enough."""
        name = str(key)
        if name not in self._places:
            self._places[name] = _Place(key, time.monotonic() + delay(self._worker, name))

    async def unwant(self, key: ServerKey) -> None:
        """The server is retired: give it up."""
        place = self._places.pop(str(key), None)
        if place is not None:
            await self._give_back(place)

    def heard(self, name: str, lease: Lease | None) -> None:
        """A write to a lease went over the bus: somebody renews it, or (None) gave it back."""
        place = self._places.get(name)
        if place is None or (lease is not None and lease.worker == self._worker):
            return
        now = time.monotonic()
        if lease is None:
            place.heard, place.sighting = 0.0, None
            place.try_at = now + delay(self._worker, name)
        else:
            place.heard = now

    def look_now(self, key: ServerKey) -> None:
        """Somebody missed the owner of this server."""
        place = self._places.get(str(key))
        if place is not None and place.revision == 0:
            place.heard, place.try_at = 0.0, 0.0
            self._start(place)

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            now = time.monotonic()
            for place in list(self._places.values()):
                if place.working is None and self._due(place, now):
                    self._start(place)
            await asyncio.sleep(_TICK_SECONDS)

    def _due(self, place: _Place, now: float) -> bool:
        if place.revision:
            return now - place.renewed_at >= RENEW_SECONDS
        return now >= place.try_at and now - place.heard >= SILENT_SECONDS

    def _start(self, place: _Place) -> None:
        if place.working is None:
            place.working = asyncio.create_task(self._work(place))

    async def _work(self, place: _Place) -> None:
        try:
            async with self._slots:
                if place.revision:
                    await self._renew(place)
                else:
                    await self._try(place)
        except Exception:
            # Whatever it was, the next tick tries again; a place must not stay unlooked at.
            log.exception("placement_failed", server=str(place.key))
        finally:
            place.working = None

    async def _renew(self, place: _Place) -> None:
        name, began = str(place.key), time.monotonic()
        revision = await self._bucket.write(name, self._lease(name), place.revision)
        if revision == ABSENT:
            place.renewed_at = began  # where there is no bucket, nobody else can have taken it
        elif revision:
            place.revision, place.renewed_at = revision, began
        elif revision == 0:
            await self._renewed_elsewhere(place)
        elif is_lost(place.renewed_at, self._bucket.connected, time.monotonic()):
            await self._give_up(place, "it could not be renewed")

    async def _renewed_elsewhere(self, place: _Place) -> None:
        """Our revision is not the newest: an answer of ours got lost, the bucket was remade, or it is another's."""
        read = await self._bucket.read(str(place.key))
        if read is None:
            return
        lease, revision = read
        if lease is not None and lease.worker == self._worker:
            place.revision = revision
        elif lease is None and revision == 0:
            revision = await self._bucket.write(str(place.key), self._lease(str(place.key)), 0) or 0
            if revision > 0:
                place.revision, place.renewed_at = revision, time.monotonic()
        else:
            await self._give_up(place, "another worker holds it")

    async def _give_up(self, place: _Place, why: str) -> None:
        log.warning("lease_lost", server=str(place.key), reason=why)
        place.revision = 0
        place.sighting, place.heard = None, time.monotonic()
        await self._lost(place.key)

    async def _try(self, place: _Place) -> None:
        read = await self._bucket.read(str(place.key))
        now = time.monotonic()
        if read is None:
            place.try_at = now + _ALIVE_SECONDS
            return
        lease, revision = read
        if lease is None and revision == 0 and await self._is_remade(place):
            place.try_at = now + SILENT_SECONDS
            return
        if lease is None or lease.worker == self._worker:
            await self._take(place, revision)
            return
        place.sighting = sighted(place.sighting, lease.worker, revision, now)
        if is_dead(place.sighting, now) or not await self._lives(lease.worker):
            await self._take(place, revision)
        else:
            place.try_at = now + min(_ALIVE_SECONDS, TTL_SECONDS)

    async def _is_remade(self, place: _Place) -> bool:
        """Whether the bucket lost a lease (NATS restarted) whose owner lives: it goes first."""
        before, place.sighting = place.sighting, None
        return before is not None and await self._lives(before.worker)

    async def _lives(self, worker: str) -> bool:
        """Whether the worker answers; asked once for all of its servers."""
        at, alive = self._alive.get(worker, (0.0, True))
        if time.monotonic() - at > _ALIVE_SECONDS:
            alive = await self._bucket.answers(worker)
            self._alive[worker] = (time.monotonic(), alive)
        return alive

    async def _take(self, place: _Place, last: int) -> None:
        name, began = str(place.key), time.monotonic()
        self._generations.pop(name, None)
        revision = await self._bucket.write(name, self._lease(name), last)
        if revision is None or revision <= 0:
            place.try_at = time.monotonic() + _ALIVE_SECONDS
            return
        if self._places.get(name) is not place:  # retired meanwhile
            await self._bucket.clear(name, revision)
            return
        place.revision, place.renewed_at, place.sighting = revision, began, None
        self._generations[name] = revision
        log.info("lease_taken", server=name, generation=revision)
        await self._acquired(place.key, revision)

    def _lease(self, name: str) -> Lease:
        expires = time.time_ns() // 1_000_000 + int(TTL_SECONDS * 1000)
        return Lease(worker=self._worker, generation=self._generations.get(name, 0), expires=expires)

    async def _give_back(self, place: _Place) -> None:
        if place.working is not None:
            await asyncio.wait([place.working], timeout=1.0)
        if place.revision:
            await self._bucket.clear(str(place.key), place.revision)
            place.revision = 0

    async def release(self) -> None:
        """Give every lease back: this worker stops."""
        places = list(self._places.values())
        self._places.clear()
        await asyncio.gather(*(self._give_back(place) for place in places))
