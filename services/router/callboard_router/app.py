"""The router: the only place of the room that builds adapters.

Start: read the whole log into memory, compile every playbook, then take calls. From there on it follows the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import asyncpg
import msgspec
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from callboard.contracts import subjects
from callboard.contracts.events import Recorded
from callboard.contracts.people_events import OrganisationPlanChosen
from callboard.contracts.playbooks import CatalogueChanged
from callboard.contracts.status import HeldStatus, InstanceStatus, LogHint
from callboard.platform.bus import Bus
from callboard.platform.event_store import EventStore
from callboard.platform.log_follower import LogFollower
from callboard.platform.postgres import open_pool
from callboard.platform.record_bursts import RecordBursts
from callboard.platform.room import Clockwork, answer_status, cancel_all
from callboard_router.calls.traced import RouterSpans
from callboard_router.catalogue.deadlines import Limits
from callboard_router.catalogue.drift import why_held
from callboard_router.catalogue.served import Served, announcement
from callboard_router.decisions import Decisions
from callboard_router.entry.commands import register_assignments, register_commands, register_drift
from callboard_router.entry.drafts import register_drafts
from callboard_router.entry.layers import register_layers
from callboard_router.entry.policies import register_policies
from callboard_router.entry.queries import register_queries
from callboard_router.entry.rpc import RpcEntry
from callboard_router.playbooks.candidate import Candidates
from callboard_router.playbooks.inquiries import Inquiries
from callboard_router.playbooks.preview import Previews
from callboard_router.policies.counters import Counters
from callboard_router.quotas.meters import TROUBLE, Meters
from callboard_router.quotas.usage import Usages
from callboard_router.settings import RouterSettings
from callboard_router.state import RouterState

log = structlog.get_logger()
_TIMES_SECONDS = 0.5
LAST_COUNT = 0.5
"""Seconds that the last figures have to be written when the router stops."""
_hint = msgspec.json.Decoder(LogHint).decode


class Router:
    """One instance of the room."""

    def __init__(self, settings: RouterSettings, instance: str) -> None:
        self._settings = settings
        self._clock = Clockwork("router", instance)
        self.bus = Bus("router", instance, settings)
        self._state = RouterState()
        limits = Limits(int(settings.idle_seconds * 1000), int(settings.max_seconds * 1000))
        self._served = Served(self._state, settings.page_size, limits)
        self._meters = Meters()
        self._records = RecordBursts(self.bus)
        self._rpc: RpcEntry | None = None
        self._pool: asyncpg.Pool | None = None
        self._follower: LogFollower | None = None
        self._following: asyncio.Task[None] | None = None
        self._counting: asyncio.Task[None] | None = None
        self._timing: asyncio.Task[None] | None = None
        self._calls: Subscription | None = None
        self._ready = False

    async def start(self) -> None:
        """Connect, load, compile, serve."""
        pool, _ = await asyncio.gather(
            open_pool(self._settings.database_url, self._settings.database_pool), self.bus.connect()
        )
        self._pool = pool
        store = EventStore(pool, self._appended)
        self._follower = LogFollower(store, self._apply)
        self._following = asyncio.create_task(self._follower.run())
        counters = Counters(self.bus)
        wait = self._settings.placement_wait
        record = self._records.add
        spans = None if self.bus.traces is None else RouterSpans(self.bus.traces)
        self._rpc = RpcEntry(self.bus, record, self._served, self._follower, self._meters, counters, wait, spans)
        await self._follower.caught_up.wait()
        decisions = Decisions(store, self._follower, self._state, f"router/{self.bus.instance}")
        inquiries = Inquiries(self.bus, self._settings.probe_wait)
        register_commands(self.bus, decisions, inquiries)
        register_assignments(self.bus, decisions)
        register_drift(self.bus, decisions, inquiries)
        register_drafts(self.bus, decisions, inquiries, store)
        register_layers(self.bus, decisions, store, self._state)
        register_policies(self.bus, decisions, store, self._served)
        candidates = Candidates(self._follower, self._state, self._served)
        usages = Usages(decisions, self._meters, pool)
        register_queries(self.bus, Previews(store, self._follower, self._served), usages, candidates)
        self._counting = asyncio.create_task(self._meters.run(pool))
        answer_status(self)
        await self.bus.listen(f"{subjects.HINT}.>", self._hinted)
        await self._rpc.forwarder.start()
        self._calls = await self.bus.hear(f"{subjects.RPC}.>", self._rpc.handle, "router")
        await self.bus.serve()
        self._ready = True
        self._timing = asyncio.create_task(self._tell_of_times())
        for (organisation, playbook), compiled in list(self._served.all().items()):
            seq = self._follower.position(organisation)
            await self._announce(announcement(organisation, playbook, compiled, seq))

    async def stop(self) -> None:
        """Take no more calls, finish the commands that run, disconnect."""
        if self._calls is not None:
            await self._calls.drain()  # type: ignore[no-untyped-call]
        self._records.close()
        await self.bus.close()
        behind = self._rpc.behind if self._rpc is not None else ()
        await cancel_all(self._following, self._counting, self._timing, *behind)
        if self._pool is not None:
            with contextlib.suppress(TimeoutError, *TROUBLE):
                await asyncio.wait_for(self._meters.write(self._pool), LAST_COUNT)
            self._pool.terminate()

    def status(self) -> InstanceStatus:
        """Height of what is served."""
        follower = self._follower
        served = self._served.all()
        figures = {
            "playbooks": float(len(served)),
            "tools": float(sum(len(compiled.tools) for compiled in served.values())),
            "log_lag": float(follower.lag() if follower is not None else 0),
        }
        hidden = [
            f"{organisation}/{playbook}: {collision}"
            for (organisation, playbook), compiled in served.items()
            for collision in compiled.collisions
        ]
        held = tuple(
            HeldStatus(playbook=f"{organisation}/{playbook}", thing=f"{drift.kind} {drift.name}", why=why_held(drift))
            for (organisation, playbook), compiled in served.items()
            for drift in compiled.held.values()
        )
        return self._clock.status(ready=self._ready, figures=figures, problem="; ".join(hidden), held=held)

    async def _apply(self, batch: list[Recorded]) -> None:
        for recorded in batch:
            if isinstance(recorded.event, OrganisationPlanChosen):
                chosen = recorded.event
                self._meters.limit(recorded.organisation, chosen.plan, chosen.calls_per_day)
        for changed in self._served.compile(self._state.apply(batch), batch[-1].seq):
            if self._ready:
                await self._announce(changed)

    async def _tell_of_times(self) -> None:
        """Agents hear of it when a policy opens or closes by itself."""
        while True:
            await asyncio.sleep(_TIMES_SECONDS)
            for changed in self._served.at_times(time.time()):
                await self._announce(changed)

    async def _announce(self, changed: CatalogueChanged) -> None:
        await self.bus.tell(subjects.changed(changed.organisation, changed.playbook), changed)

    async def _appended(self, organisation: str, seq: int) -> None:
        await self.bus.tell(subjects.hint(organisation), LogHint(organisation=organisation, seq=seq))

    async def _hinted(self, message: Msg) -> None:
        hint = _hint(message.data)
        if self._follower is not None:
            self._follower.hint(hint.organisation, hint.seq)
