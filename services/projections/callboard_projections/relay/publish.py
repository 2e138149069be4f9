"""Relay the log to the stream CB_EVENTS: each event once, in order of its organisation, however often it must be tried.

The log itself is the outbox and `cb.cursor` (consumer `relay`) says how far it is relayed. `Nats-Msg-Id` is
`organisation:seq`, so any number of relays may run and a repetition within two minutes leaves no trace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

import asyncpg
import msgspec
import structlog
from nats.js import JetStreamContext
from nats.js.api import PubAck
from nats.js.errors import NotFoundError

from callboard.contracts import subjects
from callboard.contracts.upcasts import CURRENT
from callboard.platform.event_store import Connection, published_of, recorded_of
from callboard.platform.postgres import UNREACHABLE, sql
from callboard_projections.relay.keep_streams import BUS_AWAY, StreamsKeeper

log = structlog.get_logger()

CONSUMER = "relay"
BATCH = 200
BATCH_BYTES = 4 * 1024 * 1024
ACK_SECONDS = 5.0
SWEEP_SECONDS = 0.5
COMPARE_SECONDS = 2.0
_HERE = "callboard_projections"


class _Published(msgspec.Struct, frozen=True, kw_only=True):
    """`PublishedEvent` with the event as the bytes of the log: a newer event type passes an older relay unread."""

    organisation: str
    seq: int
    event_id: str
    stream: str
    version: int
    recorded_at: datetime
    actor: str
    comment: str
    event: msgspec.Raw


class _Meta(msgspec.Struct, frozen=True):
    actor: str
    comment: str = ""


_read_meta = msgspec.json.Decoder(_Meta).decode
_encode = msgspec.json.Encoder().encode


def public_form(row: asyncpg.Record) -> bytes:
    """The JSON of `PublishedEvent` for a row of `cb.event`."""
    if row["schema_version"] != CURRENT.get(row["type"], 1):
        return _encode(published_of(recorded_of(row)))
    meta = _read_meta(row["meta"])
    return _encode(
        _Published(
            organisation=row["organisation"],
            seq=row["seq"],
            event_id=row["event_id"],
            stream=row["stream"],
            version=row["version"],
            recorded_at=row["recorded_at"],
            actor=meta.actor,
            comment=meta.comment,
            event=msgspec.Raw(row["payload"].encode()),
        )
    )


class Relay:
    """One relay. `problem` says why it does not get on."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        jetstream: JetStreamContext,
        keeper: StreamsKeeper,
        max_payload: int,
        connected: Callable[[], bool],
    ) -> None:
        self._pool = pool
        self._connected = connected
        self._jetstream = jetstream
        self._keeper = keeper
        self._max_payload = max_payload
        self._wake = asyncio.Event()
        self._created: datetime | None = None
        self._compare_at = 0.0
        self.problem = ""
        self.too_large = 0

    def wake(self) -> None:
        """Somebody appended."""
        self._wake.set()

    def compare_now(self) -> None:
        """The bus was away: what the stream holds may be less than it was."""
        self._compare_at = 0.0
        self._wake.set()

    async def run(self) -> None:
        """Relay until cancelled."""
        while True:
            try:
                await self._round()
            except (*UNREACHABLE, *BUS_AWAY) as error:
                self.problem = f"waits: {type(error).__name__}"
                self._compare_at = 0.0
                self._keeper.look()
                log.info("relay_waits", reason=str(error)[:200])
            except Exception:
                self.problem = "failed: see the log of projections"
                log.exception("relay_failed")
            try:
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    async def _round(self) -> None:
        if not self._connected():
            self.problem = "waits: NATS is away"  # the reconnect wakes it; a request now would only time out
            return
        await self._compare_when_due()
        if self._created is None:
            return
        problem = ""
        for row in await self._pool.fetch(sql(_HERE, "behind"), CONSUMER):
            try:
                await self._relay(row["organisation"], row["at"], row["head"])
            except (msgspec.MsgspecError, ValueError, LookupError) as error:
                # One organisation's unreadable event must not hold up the others.
                log.exception("event_not_relayed", organisation=row["organisation"])
                problem = f"stopped in {row['organisation']}: {type(error).__name__}"
        self.problem = problem

    async def _relay(self, organisation: str, at: int, head: int) -> None:
        while at < head and self._created is not None:
            created = self._created
            rows = await self._pool.fetch(sql("callboard.platform", "read_log"), organisation, at, BATCH)
            if not rows:
                return
            at, last = await self._publish(rows)
            await self._pool.execute(
                sql(_HERE, "advance_relay"), organisation, at, created, last, subjects.STREAM_EVENTS
            )
            await self._compare_when_due()

    async def _publish(self, rows: Sequence[asyncpg.Record]) -> tuple[int, int]:
        """Publish from the front of `rows` as much as is wise at once; (last log seq, last stream seq)."""
        futures: list[asyncio.Future[PubAck]] = []
        size, at = 0, 0
        try:
            for row in rows:
                try:
                    body = public_form(row)
                except (msgspec.MsgspecError, ValueError, LookupError):
                    if futures:
                        break  # what stands before it goes out first
                    raise
                if futures and size + len(body) > BATCH_BYTES:
                    break
                at = row["seq"]
                if len(body) + 1024 > self._max_payload:
                    self.too_large += 1
                    log.error("event_too_large_to_relay", organisation=row["organisation"], seq=at, size=len(body))
                    continue
                size += len(body)
                headers = {"Nats-Msg-Id": f"{row['organisation']}:{at}", "Cb-Seq": str(at)}
                subject = subjects.event(row["organisation"], row["type"])
                futures.append(await self._jetstream.publish_async(subject, body, wait_stall=1.0, headers=headers))
            # The futures of nats-py never resolve when the server dies.
            async with asyncio.timeout(ACK_SECONDS):
                acks = await asyncio.gather(*futures)
        finally:
            for future in futures:
                future.cancel()
        return at, max((ack.seq for ack in acks), default=0)

    async def _compare_when_due(self) -> None:
        """Every two seconds: is the stream still the one that we filled, and as long as it was?"""
        now = asyncio.get_running_loop().time()
        if now < self._compare_at:
            return
        # The row first: the stream only grows, so what is read later must be at least as long.
        known = await self._pool.fetchrow(sql(_HERE, "relay_stream"), subjects.STREAM_EVENTS)
        try:
            found = await self._jetstream.stream_info(subjects.STREAM_EVENTS)
        except NotFoundError:
            self._created = None
            self._keeper.look()
            return
        assert found.created is not None
        if known is None or known["created"] != found.created:
            await self._begin_again(found.created)
        elif found.state.last_seq < known["last_seq"]:
            await self._step_back(found.state.last_seq)
        self._created = found.created
        self._compare_at = now + COMPARE_SECONDS

    async def _begin_again(self, created: datetime) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(sql(_HERE, "adopt_stream"), subjects.STREAM_EVENTS, created):
                await connection.execute(sql(_HERE, "rewind_relay"))
                log.info("stream_is_new", stream=subjects.STREAM_EVENTS)

    async def _step_back(self, last_seq: int) -> None:
        """The stream lost its newest messages (a power loss): begin where each organisation now ends."""
        positions = {
            organisation: await self._last_relayed(organisation)
            for organisation in [row["organisation"] for row in await self._pool.fetch(sql(_HERE, "organisations"))]
        }
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(sql(_HERE, "shorten_stream"), subjects.STREAM_EVENTS, last_seq)
            await self._set_back(connection, positions)
        log.warning("stream_was_shortened", stream=subjects.STREAM_EVENTS)

    async def _set_back(self, connection: Connection, positions: dict[str, int]) -> None:
        await connection.executemany(sql(_HERE, "set_back_relay"), list(positions.items()))

    async def _last_relayed(self, organisation: str) -> int:
        try:
            message = await self._jetstream.get_last_msg(subjects.STREAM_EVENTS, f"{subjects.EVENT}.{organisation}.>")
        except NotFoundError:
            return 0
        # Two relays may have put a batch in another order: a batch before the last is surely there.
        return max(0, int((message.headers or {}).get("Cb-Seq", "0")) - BATCH)
