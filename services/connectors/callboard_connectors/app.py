"""Builds the connectors room from its settings: the only place that makes adapters."""

from __future__ import annotations

import asyncio
import contextlib

import asyncpg
import msgspec
import structlog
from nats.aio.msg import Msg

from callboard.contracts import subjects
from callboard.contracts.playbooks import ResourcesWatched, WatchResources
from callboard.contracts.status import InstanceStatus
from callboard.platform.bus import Bus
from callboard.platform.egress import Egress, private_hosts
from callboard.platform.event_store import EventStore
from callboard.platform.log_follower import LogFollower
from callboard.platform.postgres import open_pool
from callboard.platform.record_bursts import RecordBursts
from callboard.platform.room import Clockwork, answer_status, cancel_all
from callboard_connectors.adapters.lease_bucket import WRITES, LeaseBucket, worker_subject, written
from callboard_connectors.adapters.router import BusRecorder
from callboard_connectors.adapters.sign_ins import BusSignIns
from callboard_connectors.adapters.task_keys import BusTaskKeys
from callboard_connectors.adapters.vault import BusVault
from callboard_connectors.calls.in_flight import InFlight
from callboard_connectors.calls.perform import Calls
from callboard_connectors.calls.traced import CallSpans
from callboard_connectors.entry.asks import register_asks
from callboard_connectors.entry.calls import CallControl
from callboard_connectors.entry.log import Hints, RegistryFold
from callboard_connectors.placement.hold import Placement
from callboard_connectors.registry.running import Running
from callboard_connectors.sessions.open import Limits, SessionOpener
from callboard_connectors.settings import ConnectorsSettings, inherited_environment
from callboard_connectors.tasks.identify import Tasks
from callboard_connectors.transports.guardian import Guardian

log = structlog.get_logger()
_HEAD_ROOM = 4096
watching = msgspec.json.Decoder(WatchResources).decode
_FINISH_SECONDS = 2.0


def build(settings: ConnectorsSettings, instance: str) -> ConnectorsRoom:
    """One worker that is not started yet."""
    return ConnectorsRoom(settings, instance)


class ConnectorsRoom:
    """One worker of the room."""

    def __init__(self, settings: ConnectorsSettings, instance: str) -> None:
        self.bus = Bus("connectors", instance, settings)
        self._settings = settings
        self._clockwork = Clockwork("connectors", instance)
        self._guardian = Guardian()
        self._table = InFlight()
        self._records = RecordBursts(self.bus)
        self._ready = False
        self._tasks: list[asyncio.Task[None]] = []
        self._pool: asyncpg.Pool | None = None
        self._calls: Calls | None = None
        self._running: Running | None = None
        self._placement: Placement | None = None
        self._follower: LogFollower | None = None

    async def start(self) -> None:
        """Connect to the bus and the log, then to the servers that are wanted; those connect on their own."""
        settings, bus = self._settings, self.bus
        await bus.connect()
        self._pool = await open_pool(settings.database_url, settings.database_pool)
        limits = Limits(
            connect_seconds=settings.connect_seconds,
            max_body_bytes=settings.max_body_bytes,
            allow_stdio=settings.allow_stdio,
            commands=settings.commands,
        )
        name = "CALLBOARD_CONNECTORS_PRIVATE_UPSTREAMS"
        egress = Egress(private_hosts(name, settings.private_upstreams, production=settings.production))
        environment = inherited_environment()
        opener = SessionOpener(self._guardian, BusVault(bus), limits, environment, egress, BusSignIns(bus))
        running = self._running = self._build_running(opener)
        placement = self._placement = Placement(bus.instance, LeaseBucket(bus), running.acquired, running.lost)
        running.placement = placement
        fold = RegistryFold(lambda: running.follow(fold.registry), running.depart)
        follower = self._follower = LogFollower(EventStore(self._pool, _nobody), fold.apply)
        register_asks(bus, opener, placement)
        answer_status(self)
        await self._listen(placement, follower)
        await bus.serve()
        self._tasks.append(asyncio.create_task(follower.run()))
        await follower.caught_up.wait()
        fold.complete = True
        await running.follow(fold.registry)
        self._tasks.append(asyncio.create_task(placement.run()))
        await bus.settled()
        self._ready = True

    def _build_running(self, opener: SessionOpener) -> Running:
        settings, bus = self._settings, self.bus
        max_frame = bus.max_payload - _HEAD_ROOM
        tasks = Tasks(BusTaskKeys(bus))
        publish, flush = bus.publish, bus.flush
        record, worker = self._records.add, bus.instance
        spans = None if bus.traces is None else CallSpans(bus.traces)
        calls = Calls(self._table, publish, flush, record, tasks, max_frame, settings.bulkhead, worker, spans)
        self._calls = calls
        return Running(bus, opener, calls, BusRecorder(bus), settings.poll_seconds, settings.allow_stdio)

    async def _listen(self, placement: Placement, follower: LogFollower) -> None:
        """The bare subscriptions that every worker has."""
        assert self._calls is not None
        bus = self.bus
        control = CallControl(self._table, self._calls.questions, bus.publish)

        async def on_lease(msg: Msg) -> None:
            placement.heard(*written(msg.subject, msg.data))

        async def on_alive(msg: Msg) -> None:
            await msg.respond(b"here")

        async def on_watch(msg: Msg) -> None:
            message = watching(msg.data)

            async def heard() -> None:
                await bus.tell(msg.reply, ResourcesWatched())

            if self._running is not None:
                asks = heard if msg.reply else None
                self._running.watched(message.organisation, message.server, message.uris, asks)

        async def on_held(msg: Msg) -> None:
            assert self._calls is not None
            if self._running is not None:
                await self._calls.go_on(self._running.upstream_of, msg.data)

        await bus.listen(f"{subjects.WATCH}.>", on_watch)
        await bus.listen(subjects.held(self._calls.alias), on_held)
        await bus.hear(subjects.CANCEL, control.on_cancel)
        await bus.listen(subjects.answer(self._calls.alias), control.on_answer)
        await bus.listen(subjects.CALL_HELD, control.on_held)
        await bus.listen(f"{subjects.HINT}.>", Hints(follower).on_hint)
        await bus.listen(WRITES, on_lease)
        await bus.listen(worker_subject(bus.instance), on_alive)

    async def stop(self) -> None:
        """No new calls, finish those that run, let go of the servers, give the leases back."""
        self._ready = False
        if self._running is not None:
            await self._running.leave_all()
        await self._finish_calls()
        await cancel_all(*self._tasks)
        if self._running is not None and self._placement is not None:
            await self._running.close_all()
            await self._placement.release()
        self._guardian.close()
        if self._pool is not None:
            self._pool.terminate()
        await self.bus.close()

    async def _finish_calls(self) -> None:
        """Calls in flight get a while; what still runs then is answered "this worker stopped"; all are recorded."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._table.idle.wait(), _FINISH_SECONDS)
        tasks = [call.task for call in self._table.calls.values() if call.task is not None]
        for call in tuple(self._table.calls.values()):
            call.end("stopping")
        if tasks:
            await asyncio.wait(tasks, timeout=0.5)
        self._records.close()
        with contextlib.suppress(TimeoutError):  # the bus may be gone: then there is nobody to hear it
            await asyncio.wait_for(self.bus.settled(), 1.0)

    def status(self) -> InstanceStatus:
        """What `callboard status` shows of this worker."""
        lag = self._follower.lag() if self._follower is not None else 0
        return self._clockwork.status(
            ready=self._ready and self.bus.connected,
            servers=self._running.statuses() if self._running is not None else (),
            figures={"calls_in_flight": float(len(self._table.calls)), "log_lag": float(lag)},
        )


async def _nobody(organisation: str, seq: int) -> None:
    """This room never appends."""
