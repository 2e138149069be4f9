"""Keep the JetStream streams and KV buckets in existence, whoever deletes them.

Above: `app`. Below: JetStream through nats-py. What they hold is Callboard's to lose: events are relayed again from
the log, sessions and leases are taken again by their users, and what clients missed is told them as lost.
"""

from __future__ import annotations

import asyncio

import nats.errors
import structlog
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, KeyValueConfig, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from callboard.contracts import policy_subjects, subjects

log = structlog.get_logger()

_SESSIONS_BYTES = 512 * 1024 * 1024
_LIMITS_BYTES = 64 * 1024 * 1024
_REPLAY_SECONDS, _REPLAY_BYTES, _REPLAY_EVENTS = 300.0, 128 * 1024 * 1024, 2048

BUS_AWAY: tuple[type[Exception], ...] = (nats.errors.Error, OSError)
"""Failures of JetStream that pass by themselves (nats-py's time-outs are OSErrors too)."""

CHECK_SECONDS = 2.0
_DAY = 86_400.0


def streams(calls_max_bytes: int, replicas: int) -> tuple[StreamConfig, ...]:
    """The two streams that analytics consumers read, what edges keep for clients that come back, and the counters.

    Ages in seconds, sizes in bytes.
    """
    events = StreamConfig(
        name=subjects.STREAM_EVENTS,
        subjects=[f"{subjects.EVENT}.>"],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_age=30 * _DAY,
        duplicate_window=120.0,
        num_replicas=replicas,
    )
    calls = StreamConfig(
        name=subjects.STREAM_CALLS,
        subjects=[f"{subjects.RECORD}.>"],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_age=7 * _DAY,
        max_bytes=calls_max_bytes,
        duplicate_window=120.0,
        num_replicas=replicas,
    )
    replay = StreamConfig(
        name=subjects.STREAM_REPLAY,
        subjects=[f"{subjects.REPLAY}.>"],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.MEMORY,
        discard=DiscardPolicy.OLD,
        max_age=_REPLAY_SECONDS,
        max_bytes=_REPLAY_BYTES,
        max_msgs_per_subject=_REPLAY_EVENTS,
        allow_direct=True,
        # Nothing is published twice here; the server wants a window, and one within the age.
        duplicate_window=120.0,
        num_replicas=replicas,
    )
    limits = (_counters(kept, age, replicas) for kept, age in (("short", 3 * 60.0), ("long", 25 * 3600.0)))
    return events, calls, replay, *limits


def _counters(kept: str, age: float, replicas: int) -> StreamConfig:
    """Counters of calls (NATS ADR-49), one subject for each window: the newest total is all that counts."""
    return StreamConfig(
        name=policy_subjects.STREAMS_LIMITS[kept],
        subjects=[policy_subjects.limit(kept, ">")],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.MEMORY,
        discard=DiscardPolicy.OLD,
        max_age=age,
        max_bytes=_LIMITS_BYTES,
        max_msgs_per_subject=1,
        duplicate_window=min(age, 120.0),
        allow_msg_counter=True,
        num_replicas=replicas,
    )


def buckets(replicas: int) -> tuple[KeyValueConfig, ...]:
    """Sessions of the handshake era, and leases of workers, which need not survive the server."""
    return (
        KeyValueConfig(
            bucket=subjects.BUCKET_SESSIONS,
            history=1,
            ttl=_DAY,
            max_bytes=_SESSIONS_BYTES,
            storage=StorageType.FILE,
            replicas=replicas,
        ),
        KeyValueConfig(
            bucket=subjects.BUCKET_LEASES, history=1, ttl=30.0, storage=StorageType.MEMORY, replicas=replicas
        ),
    )


class StreamsKeeper:
    """Looks every two seconds, after a reconnect, and when somebody who misses a stream says so."""

    def __init__(self, jetstream: JetStreamContext, calls_max_bytes: int, replicas: int) -> None:
        self._jetstream = jetstream
        self._streams = streams(calls_max_bytes, replicas)
        self._buckets = buckets(replicas)
        self._wake = asyncio.Event()
        self.problem = ""

    def look(self) -> None:
        """Look again now."""
        self._wake.set()

    async def ensure(self) -> None:
        """Make what is missing. Safe when several instances do it at once."""
        for wanted in self._streams:
            await self._ensure_stream(wanted)
        for bucket in self._buckets:
            await self._ensure_bucket(bucket)

    async def ensure_within(self, seconds: float) -> None:
        """The same at start, when JetStream may still be recovering."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            try:
                await self.ensure()
                return
            except BUS_AWAY as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                log.info("waiting_for_jetstream", reason=str(error)[:200])
                await asyncio.sleep(0.2)

    async def run(self) -> None:
        """Keep them until cancelled."""
        while True:
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self.ensure()
                self.problem = ""
            except BUS_AWAY as error:
                self.problem = f"JetStream: {type(error).__name__}"
                log.info("jetstream_away", reason=str(error)[:200])
            except Exception:
                self.problem = "JetStream: see the log of projections"
                log.exception("streams_check_failed")

    async def _ensure_stream(self, wanted: StreamConfig) -> None:
        assert wanted.name is not None
        try:
            found = (await self._jetstream.stream_info(wanted.name)).config
        except NotFoundError:
            await self._jetstream.add_stream(wanted)
            log.info("stream_created", stream=wanted.name)
            return
        if any(
            (getattr(found, limit) or 0) != (getattr(wanted, limit) or 0)
            for limit in ("max_age", "duplicate_window", "num_replicas")
        ) or (wanted.max_bytes is not None and found.max_bytes != wanted.max_bytes):
            await self._jetstream.update_stream(wanted)
            log.info("stream_updated", stream=wanted.name)

    async def _ensure_bucket(self, wanted: KeyValueConfig) -> None:
        try:
            await self._jetstream.stream_info(f"KV_{wanted.bucket}")
        except NotFoundError:
            await self._jetstream.create_key_value(wanted)
            log.info("bucket_created", bucket=wanted.bucket)
