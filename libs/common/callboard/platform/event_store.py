"""The event store on Postgres: append to streams of one organisation, all or none, once per command id.

Above: deciders' rooms (router, authsvc) append; everybody reads. Below: `grouped_appends` and the functions of
`migrations/`.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence

import asyncpg
import msgspec

from callboard.contracts.events import Event, EventMeta, PublishedEvent, Recorded, encode_event, type_of
from callboard.contracts.problems import Problem
from callboard.contracts.upcasts import CURRENT, read_event
from callboard.kernel.ids import command_uuid, uuid7
from callboard.platform.grouped_appends import Append, GroupedAppends, arguments
from callboard.platform.postgres import persist, sql
from callboard.platform.traces import current, following
from callboard.platform.walls import across, confined

_HERE = "callboard.platform"
_read_meta = msgspec.json.Decoder(EventMeta).decode
_write_meta = msgspec.json.Encoder().encode

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy


MAX_EVENT_BYTES = 24_000_000
"""Longest payload of one event: it must fit into a message of the bus (32 MiB on the embedded server)."""


class Write(msgspec.Struct, frozen=True):
    """Events for one stream, which must be at `expected` (None: anywhere)."""

    stream: str
    events: tuple[Event, ...]
    expected: int | None = None


class Appended(msgspec.Struct, frozen=True):
    """What an append answered. `replayed`: the command had been handled before, and nothing was written."""

    first_seq: int
    last_seq: int
    replayed: bool


class StreamMoved(Exception):
    """A stream is not at the expected version: somebody else was first."""

    def __init__(self, stream: str, version: int) -> None:
        super().__init__(f"{stream} is at {version}")
        self.stream = stream
        self.version = version


Within = Callable[[Connection], Awaitable[None]]


def recorded_of(row: asyncpg.Record) -> Recorded:
    """A row of `cb.event` as an event of the newest version."""
    return Recorded(
        organisation=row["organisation"],
        seq=row["seq"],
        event_id=row["event_id"],
        stream=row["stream"],
        version=row["version"],
        type=row["type"],
        schema_version=row["schema_version"],
        recorded_at=row["recorded_at"],
        meta=_read_meta(row["meta"]),
        event=read_event(row["type"], row["schema_version"], row["payload"]),
        command_id=row["command_id"],
    )


def published_of(recorded: Recorded) -> PublishedEvent:
    """The public form of an event."""
    return PublishedEvent(
        organisation=recorded.organisation,
        seq=recorded.seq,
        event_id=recorded.event_id,
        stream=recorded.stream,
        version=recorded.version,
        recorded_at=recorded.recorded_at,
        actor=recorded.meta.actor,
        comment=recorded.meta.comment,
        event=recorded.event,
    )


class EventStore:
    """All access to the log. `appended` is called after each commit (the wake-up on the bus)."""

    def __init__(self, pool: asyncpg.Pool, appended: Callable[[str, int], Awaitable[None]]) -> None:
        self.pool = pool
        self._appended = appended
        self._grouped = GroupedAppends(self._append_group)

    async def append(
        self,
        organisation: str,
        command_id: str,
        request: msgspec.Struct,
        meta: EventMeta,
        writes: Sequence[Write],
        within: Within | None = None,
        at: int | None = None,
    ) -> Appended:
        """Append in one transaction, with `within` run in the same one (not when replayed).

        `at`: the whole log of the organisation must stand there, for a decision that stands on all of it.
        Retried while the database is away: the command id makes that safe. Raises `StreamMoved`, or
        `Problem("command.reused")`.
        """
        append = _append_of(organisation, command_id, request, meta, writes)
        if within is None and at is None:
            return _outcome(await self._grouped.submit(append))
        answer = await persist(lambda: self._append_alone(append, within, at))
        if not answer.replayed:
            await self._appended(organisation, answer.last_seq)
        return answer

    async def _append_alone(self, append: Append, within: Within | None, at: int | None) -> Appended:
        async with self.pool.acquire() as connection, connection.transaction():
            [row] = await connection.fetch(sql(_HERE, "append_many"), *arguments([append]))
            answer = _outcome(row)
            # Until the end of the transaction nobody else appends: what was written follows `at`, or is undone.
            if at is not None and not answer.replayed and answer.first_seq != at + 1:
                raise StreamMoved("the log", answer.first_seq - 1)
            if within is not None and not answer.replayed:
                await within(connection)
            return answer

    async def _append_group(self, appends: Sequence[Append]) -> Sequence[asyncpg.Record]:
        # Without a transaction around it the statement is one: one round trip, and the heads are locked no longer
        # than the commit takes. It takes up its place behind the wall of each organisation by itself.
        values = arguments(appends)
        with confined(""):
            rows: list[asyncpg.Record] = await persist(lambda: self.pool.fetch(sql(_HERE, "append_many"), *values))
        heads = {
            append.organisation: (row["last_seq"], append.trace)  # the last of each is the highest
            for append, row in zip(appends, rows, strict=True)
            if row["outcome"] == "appended"
        }
        for organisation, (last, trace) in heads.items():
            with following(trace):  # this task serves all who wait
                await self._appended(organisation, last)
        return rows

    async def seen(self, organisation: str, command_id: str, request: msgspec.Struct) -> list[Recorded] | None:
        """The events of a command that was handled before; None for a new one."""
        wanted = (organisation, command_uuid(command_id))
        with confined(organisation):
            row = await persist(lambda: self.pool.fetchrow(sql(_HERE, "command_seen"), *wanted))
        if row is None:
            return None
        if row["request_hash"] != request_hash(request):
            raise Problem("command.reused", "the command id was used for another request")
        count = row["last_seq"] - row["first_seq"] + 1
        return await self.read(organisation, row["first_seq"] - 1, count)

    async def read(self, organisation: str, after: int, limit: int = 500) -> list[Recorded]:
        """Events with `seq` > after, in order, at most `limit`."""
        with confined(organisation):
            rows = await self.pool.fetch(sql(_HERE, "read_log"), organisation, after, limit)
        return [recorded_of(row) for row in rows]

    async def read_stream(self, organisation: str, stream: str, after: int = 0) -> list[Recorded]:
        """Events of one stream with version > after, in order."""
        with confined(organisation):
            rows = await self.pool.fetch(sql(_HERE, "read_stream"), organisation, stream, after)
        return [recorded_of(row) for row in rows]

    async def heads(self) -> dict[str, int]:
        """Organisation -> height of its log."""
        rows = await across(self.pool).fetch(sql(_HERE, "heads"))
        return {row["organisation"]: row["seq"] for row in rows}


def _append_of(
    organisation: str, command_id: str, request: msgspec.Struct, meta: EventMeta, writes: Sequence[Write]
) -> Append:
    now = time.time_ns() // 1_000_000
    return Append(
        organisation=organisation,
        command=command_uuid(command_id),
        request_hash=request_hash(request),
        streams=tuple((write.stream, write.expected) for write in writes),
        events=tuple(
            (uuid7(now, os.urandom(10)), write.stream, *_encoded(write.stream, event))
            for write in writes
            for event in write.events
        ),
        meta=_write_meta(meta).decode(),
        trace=current(),
    )


def _encoded(stream: str, event: Event) -> tuple[str, int, str]:
    """Type, schema version and payload as they are stored."""
    payload = encode_event(event).decode()
    if len(payload) > MAX_EVENT_BYTES:
        raise Problem(
            "payload.too_large",
            f"the event of {stream} would be {len(payload) / 1e6:.1f} MB, more than the {MAX_EVENT_BYTES / 1e6:.0f} MB "
            "that consumers can be sent; use fewer tools",
        )
    tag = type_of(event)
    return tag, CURRENT.get(tag, 1), payload


def _outcome(row: asyncpg.Record) -> Appended:
    match row["outcome"]:
        case "moved":
            stream, _, version = row["detail"].rpartition(":")
            raise StreamMoved(stream, int(version))
        case "reused":
            raise Problem("command.reused", "the command id was used for another request")
    return Appended(row["first_seq"], row["last_seq"], row["outcome"] == "replayed")


def request_hash(request: msgspec.Struct) -> bytes:
    """What makes two deliveries of a command the same request: all of it."""
    return hashlib.sha256(msgspec.json.encode(request, order="sorted")).digest()


def new_id() -> str:
    """A time-ordered id for commands and calls."""
    return str(uuid7(time.time_ns() // 1_000_000, os.urandom(10)))


def is_uuid(text: str) -> bool:
    """Whether a caller's command id is a UUID."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
