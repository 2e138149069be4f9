"""The upstreams of this worker, kept equal to the registry: started, replaced, stopped, owned, given up."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable

import structlog
from nats.aio.subscription import Subscription

from callboard.contracts import subjects
from callboard.contracts.status import ServerStatus
from callboard.platform.bus import Bus
from callboard.platform.room import cancel_all
from callboard_connectors.calls.perform import Calls
from callboard_connectors.discovery.interest import MAX_URIS, Interest
from callboard_connectors.discovery.keep import Heard, Keeper, Recorder
from callboard_connectors.entry.calls import CallIntake
from callboard_connectors.placement.hold import Placement
from callboard_connectors.registry.domain import Registry, ServerKey, Wanted, changes
from callboard_connectors.sessions.open import SessionOpener
from callboard_connectors.sessions.upstream import Upstream

log = structlog.get_logger()
QUEUE = "connectors"
_REPLACE_SECONDS = 10.0


class Slot:
    """One running upstream: its subscription and, when it is ours, its keeper."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.subscription: Subscription | None = None
        self.keeper: asyncio.Task[None] | None = None
        self.keeping: Keeper | None = None
        self.interest = Interest()

    @property
    def shared(self) -> bool:
        """Whether every worker serves its calls."""
        return not self.upstream.wanted.definition.is_stdio


class Running:
    """All slots; the only one that starts and stops them, one change at a time per server."""

    def __init__(
        self, bus: Bus, opener: SessionOpener, calls: Calls, recorder: Recorder, poll_seconds: float, stdio: bool
    ) -> None:
        self._bus = bus
        self._opener = opener
        self._calls = calls
        self._recorder = recorder
        self._poll_seconds = poll_seconds
        self._stdio = stdio
        self._wanted: Registry = {}
        self._slots: dict[ServerKey, Slot] = {}
        self._locks: dict[ServerKey, asyncio.Lock] = {}
        self._owned: dict[ServerKey, int] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self.placement: Placement | None = None

    def _placement(self) -> Placement:
        assert self.placement is not None, "the room sets it before the first server starts"
        return self.placement

    def _lock(self, key: ServerKey) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())

    async def follow(self, registry: Registry) -> None:
        """Make what runs equal to what is wanted. New servers take calls when it returns; the rest takes its time."""
        todo = changes(self._wanted, registry)
        self._wanted = registry
        for key, wanted in registry.items():
            slot = self._slots.get(key)
            if slot is not None and slot.upstream.wanted.revision == wanted.revision:
                slot.upstream.wanted = wanted
        for key in (*todo.replace, *todo.stop):
            self._later(self._settle(key))
        await asyncio.gather(*(self._settle(key) for key in todo.start))

    async def _settle(self, key: ServerKey) -> None:
        """Bring one server to what is wanted now, whatever came before it."""
        async with self._lock(key):
            slot, wanted = self._slots.get(key), self._wanted.get(key)
            if wanted is None:
                await self._stop(key)
            elif slot is None:
                await self._start(key, wanted)
            elif slot.upstream.wanted.revision != wanted.revision:
                await self._replace(key, slot, wanted)

    async def _start(self, key: ServerKey, wanted: Wanted) -> None:
        slot = self._slots[key] = Slot(Upstream(key, wanted, self._opener, time.monotonic))
        if slot.shared:
            await self._listen(slot)
        self._place(slot)

    def _place(self, slot: Slot) -> None:
        """Somebody has to own it, perhaps this worker."""
        if slot.shared or self._stdio:
            self._placement().want(slot.upstream.key)
        else:
            slot.upstream.problem = "servers with a command are switched off here (CALLBOARD_CONNECTORS_ALLOW_STDIO)"

    async def _replace(self, key: ServerKey, old: Slot, wanted: Wanted) -> None:
        """The new one takes calls before the old one stops taking them; the old one finishes its own."""
        new = self._slots[key] = Slot(Upstream(key, wanted, self._opener, time.monotonic))
        generation = self._owned.get(key)
        if new.shared or generation is not None:
            await self._listen(new)
        await self._leave(old)
        if new.shared and old.shared:
            self._later(self._finish(old, _REPLACE_SECONDS))
        else:
            # Two children of one server at once could be in each other's way.
            await self._finish(old, _REPLACE_SECONDS)
        if generation is not None:
            self._keep(new, generation)
        self._place(new)

    async def _stop(self, key: ServerKey) -> None:
        slot = self._slots.pop(key, None)
        self._owned.pop(key, None)
        if slot is not None:
            await self._leave(slot)
            await self._placement().unwant(key)
            self._later(self._finish(slot, _REPLACE_SECONDS))

    # -------------------------------------------------------------------------------------- ownership

    async def acquired(self, key: ServerKey, generation: int) -> None:
        """The lease of a server is ours."""
        async with self._lock(key):
            slot = self._slots.get(key)
            if slot is None:
                return
            self._owned[key] = generation
            if not slot.shared:
                await self._listen(slot)
            self._keep(slot, generation)

    async def lost(self, key: ServerKey) -> None:
        """The lease is another's: the child stops and calls go elsewhere, before anything else happens here."""
        async with self._lock(key):
            self._owned.pop(key, None)
            slot = self._slots.get(key)
            if slot is None:
                return
            slot.upstream.owner, slot.upstream.generation = False, 0
            if not slot.shared:
                await asyncio.gather(self._leave(slot), slot.upstream.disconnect())
            slot.keeping = None  # first, so that nobody has it begin anything while it ends
            await cancel_all(slot.keeper)
            slot.keeper = None

    def _keep(self, slot: Slot, generation: int) -> None:
        upstream = slot.upstream
        upstream.owner, upstream.generation = True, generation
        slot.keeping = Keeper(upstream, self._recorder, self._poll_seconds, slot.interest)
        slot.keeper = asyncio.create_task(slot.keeping.run())

    def upstream_of(self, organisation: str, server: str) -> Upstream | None:
        """A server that runs here."""
        slot = self._slots.get(ServerKey(organisation, server))
        return None if slot is None else slot.upstream

    def depart(self, organisation: str, client: str, server: str) -> None:
        """A caller's sign-ins ended, at one server or (empty) at all: no session of theirs is used again."""
        for key, slot in self._slots.items():
            personal = slot.upstream.personal
            if personal is not None and key.organisation == organisation and server in ("", key.server):
                personal.depart(client)

    def watched(self, organisation: str, server: str, uris: Iterable[str], heard: Heard | None) -> None:
        """Agents watch these resources; the owner of the server hears what becomes of them.

        `heard` is called by the owner alone, once it does. Nobody waits here: a server takes its time over it.
        """
        key = ServerKey(organisation, server)
        slot = self._slots.get(key)
        if slot is not None:
            # Remembered also where nobody owns the server yet: the owner begins with it.
            if slot.interest.name(uris, asyncio.get_running_loop().time()):
                log.warning("too_many_watched", server=str(key), most=MAX_URIS)
            if slot.keeping is not None:
                slot.keeping.watch(heard)

    # ------------------------------------------------------------------------------------------ calls

    async def _listen(self, slot: Slot) -> None:
        if slot.subscription is None:
            subject = subjects.call(*slot.upstream.key)
            intake = CallIntake(self._calls, slot.upstream)
            slot.subscription = await self._bus.hear(subject, intake.on_call, QUEUE)

    async def _leave(self, slot: Slot) -> None:
        """Take no more calls; those that are here already are made."""
        subscription, slot.subscription = slot.subscription, None
        if subscription is not None:
            with contextlib.suppress(Exception):  # the bus may be gone, and then nothing arrives either
                await asyncio.wait_for(subscription.drain(), 1.0)  # type: ignore[no-untyped-call]

    async def _finish(self, slot: Slot, within: float) -> None:
        await cancel_all(slot.keeper)
        await slot.upstream.quiet(within)
        await slot.upstream.close()

    def _later(self, work: asyncio._CoroutineLike[None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    # ------------------------------------------------------------------------------------------- room

    def statuses(self) -> tuple[ServerStatus, ...]:
        """One line per server."""
        return tuple(slot.upstream.status() for _, slot in sorted(self._slots.items()))

    async def leave_all(self) -> None:
        """The room stops: no new calls."""
        await asyncio.gather(*(self._leave(slot) for slot in self._slots.values()))

    async def close_all(self) -> None:
        """The room stops: everything that is connected is let go of."""
        for task in tuple(self._ending):
            task.cancel()
        slots = list(self._slots.values())
        self._slots.clear()
        await cancel_all(*(slot.keeper for slot in slots))
        await asyncio.gather(*(slot.upstream.close() for slot in slots), return_exceptions=True)
