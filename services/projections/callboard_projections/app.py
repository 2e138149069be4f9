"""Projections: the only place of the room that builds adapters.

Start: make the streams and buckets that all rooms use, make the tables of new read models, then relay, fold and keep
the call log in the background, and answer questions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import structlog
from nats.aio.msg import Msg

from callboard.contracts import subjects
from callboard.contracts.problems import Problem
from callboard.contracts.status import InstanceStatus
from callboard.platform.background import Background
from callboard.platform.bus import Bus
from callboard.platform.event_store import EventStore
from callboard.platform.postgres import open_pool
from callboard.platform.room import Clockwork, answer_status, cancel_all
from callboard_projections.call_log.keep import CallLog
from callboard_projections.call_log.partitions import Partitions
from callboard_projections.call_log.pull import Pull
from callboard_projections.call_log.read import CallReads
from callboard_projections.call_log.store import CallStore
from callboard_projections.canary.watch import CanaryWatch
from callboard_projections.entry.commands import register_commands
from callboard_projections.entry.queries import register_history, register_log, register_records
from callboard_projections.history.fold import Folder
from callboard_projections.history.read import Reads
from callboard_projections.history.registry import PROJECTIONS, establish
from callboard_projections.history.traced import FoldSpans
from callboard_projections.measure import Measures
from callboard_projections.poison.decide import Decisions
from callboard_projections.rebuild.rebuild import Rebuilds
from callboard_projections.relay.keep_streams import StreamsKeeper
from callboard_projections.relay.publish import Relay
from callboard_projections.settings import ProjectionsSettings

log = structlog.get_logger()

DURABLE = "projections-call_log"
JETSTREAM_SECONDS = 2.0
START_SECONDS = 60.0


class Projections:
    """One instance of the room."""

    def __init__(self, settings: ProjectionsSettings, instance: str) -> None:
        self._settings = settings
        self._clock = Clockwork("projections", instance)
        self.bus = Bus("projections", instance, settings)
        self._background = Background(settings.nice)
        self._pool: asyncpg.Pool | None = None
        self._measures: Measures | None = None
        self._rebuilds: Rebuilds | None = None
        self._keeper: StreamsKeeper | None = None
        self._relay: Relay | None = None
        self._folders: tuple[Folder, ...] = ()
        self._tasks: list[asyncio.Task[None]] = []
        self._ready = False

    async def start(self) -> None:
        """Connect, make what is missing, work, serve."""
        background = self._background
        background.join()
        pool, _ = await asyncio.gather(
            open_pool(self._settings.database_url, self._settings.database_pool, opened=background.connected),
            self.bus.connect(),
        )
        self._pool = pool
        outdated = await establish(pool, PROJECTIONS)
        jetstream = self.bus.client.jetstream(timeout=JETSTREAM_SECONDS)
        keeper = self._keeper = StreamsKeeper(jetstream, self._settings.calls_max_bytes, self._settings.stream_replicas)
        await keeper.ensure_within(START_SECONDS)
        self._relay = Relay(pool, jetstream, keeper, self.bus.max_payload, lambda: self.bus.connected)
        traces = self.bus.traces
        spans = [None if traces is None else FoldSpans(traces, projection.name) for projection in PROJECTIONS]
        self._folders = tuple(map(Folder, [pool] * len(spans), PROJECTIONS, spans))
        call_log = self._build_call_log(pool)
        self._measures = Measures(pool, self._folders, self._relay, call_log, keeper)
        self._rebuilds = Rebuilds(pool, PROJECTIONS)
        self._work(keeper.run(), self._relay.run(), call_log.run(), self._measures.run())
        self._work(CanaryWatch(pool, self.bus, self._settings.canary_pause).run())
        self._work(*(folder.run() for folder in self._folders))
        await self._serve(pool, self._rebuilds)
        for projection in outdated:
            await self._rebuild_for_layout(projection.name)
        self._ready = True

    async def stop(self) -> None:
        """Take no more questions, end the work where it is (every step of it is safe to repeat), disconnect."""
        self._ready = False
        if self._rebuilds is not None:
            await self._rebuilds.close()
        await cancel_all(*self._tasks)
        await self.bus.close()
        if self._pool is not None:
            self._pool.terminate()

    def status(self) -> InstanceStatus:
        """How far everything is behind, and what does not get on."""
        measures = self._measures
        if measures is None:
            return self._clock.status(ready=False)
        return self._clock.status(
            ready=self._ready,
            problem=measures.database_problem,
            projections=measures.statuses(),
            figures=measures.figures(),
        )

    def _build_call_log(self, pool: asyncpg.Pool) -> CallLog:
        keep = timedelta(days=self._settings.calls_keep_days)
        partitions = Partitions(pool, keep)
        pull = Pull(
            self.bus,
            self.bus.client.jetstream(timeout=JETSTREAM_SECONDS),
            subjects.STREAM_CALLS,
            DURABLE,
        )
        return CallLog(pull, CallStore(pool, partitions), partitions, keep, lambda: datetime.now(UTC))

    def _work(self, *loops: Coroutine[Any, Any, None]) -> None:
        self._tasks += [asyncio.create_task(loop) for loop in loops]

    async def _serve(self, pool: asyncpg.Pool, rebuilds: Rebuilds) -> None:
        store = EventStore(pool, _nothing)
        folders = {folder.projection.name: folder for folder in self._folders}
        reads = Reads(pool, store, folders)
        register_history(self.bus, reads)
        register_log(self.bus, reads)
        register_records(self.bus, pool, CallReads(pool), rebuilds)
        register_commands(self.bus, rebuilds, Decisions(pool, folders))
        answer_status(self)
        self.bus.on_reconnect(self._reconnected)
        await self.bus.listen(f"{subjects.HINT}.>", self._hinted)
        await self.bus.serve()

    async def _rebuild_for_layout(self, name: str) -> None:
        assert self._rebuilds is not None
        try:
            await self._rebuilds.begin(name)
        except Problem as problem:
            log.info("rebuild_runs_elsewhere", projection=name, code=problem.code)

    async def _reconnected(self) -> None:
        if self._keeper is not None and self._relay is not None:
            self._keeper.look()
            self._relay.compare_now()

    async def _hinted(self, message: Msg) -> None:
        if self._relay is not None:
            self._relay.wake()
        for folder in self._folders:
            if folder.spans is not None:
                folder.spans.hinted(message)
            folder.wake()


async def _nothing(organisation: str, seq: int) -> None:
    """This room reads the log and never appends."""
