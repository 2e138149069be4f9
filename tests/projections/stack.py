"""A real NATS and Postgres with one or more projections on them, asked with the permissions of the other rooms."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from callboard.contracts import subjects
from callboard.contracts.calls import CallRecord, encode_record
from callboard.contracts.definitions import (
    Catalogue,
    CatalogueItem,
    Exposed,
    PlaybookContent,
    PlaybookDefinition,
    PlaybookServer,
    ServerDefinition,
)
from callboard.contracts.events import (
    Event,
    EventMeta,
    OrganisationCreated,
    PlaybookPublished,
    PlaybookRetired,
    PlaybookRolledBack,
    PublishedEvent,
    ServerCatalogueDiscovered,
    ServerReconfigured,
    ServerRegistered,
    ServerRetired,
    decode_published,
)
from callboard.contracts.status import LogHint, ProjectionStatus
from callboard.local.nats_server import EmbeddedNats
from callboard.platform.bus import Bus
from callboard.platform.bus_identity import Permissions, user_creds
from callboard.platform.event_store import Appended, EventStore, Write
from callboard.platform.settings import CommonSettings
from callboard_projections.app import Projections
from callboard_projections.settings import ProjectionsSettings
from tests.support.waiting import PATIENCE, settled


class Wish(msgspec.Struct, frozen=True):
    """What stands for a command where only its identity matters."""

    text: str = ""


def content(*tools: str, title: str = "", server: str = "git") -> PlaybookContent:
    exposed = {f"{server}__{tool}": Exposed(server=server, name=tool, digest=f"sha256:{tool}") for tool in tools}
    return PlaybookContent(
        definition=PlaybookDefinition(title=title, servers={server: PlaybookServer()}), tools=exposed
    )


def published(playbook: str, version: int, *tools: str, title: str = "") -> PlaybookPublished:
    return PlaybookPublished(
        playbook=playbook,
        version=version,
        content=content(*tools, title=title),
        content_digest=f"sha256:{playbook}-{version}",
    )


def rolled_back(playbook: str, version: int, to: PlaybookPublished) -> PlaybookRolledBack:
    return PlaybookRolledBack(
        playbook=playbook,
        version=version,
        to_version=to.version,
        content=to.content,
        content_digest=to.content_digest,
    )


def discovered(server: str, *tools: str, broken: Sequence[str] = ()) -> ServerCatalogueDiscovered:
    items = tuple(
        CatalogueItem(
            name=tool, digest="sha256:0", raw=msgspec.Raw(b"{}"), problem="not valid" if tool in broken else None
        )
        for tool in tools
    )
    return ServerCatalogueDiscovered(
        server=server, digest=f"sha256:{len(tools)}", catalogue=Catalogue(era="2025-11-25", tools=items)
    )


def stream_of(event: Event) -> str:
    match event:
        case OrganisationCreated():
            return f"organisation-{event.organisation}"
        case PlaybookPublished() | PlaybookRolledBack() | PlaybookRetired():
            return f"playbook-{event.playbook}"
        case ServerRegistered() | ServerReconfigured() | ServerRetired() | ServerCatalogueDiscovered():
            return f"server-{event.server}"
        case _:
            return "other"


class Log:
    """Appends events as their rooms would."""

    def __init__(self, pool: asyncpg.Pool, hint: Callable[[str, int], Awaitable[None]] | None = None) -> None:
        self.pool = pool
        self.store = EventStore(pool, hint or _nobody)

    async def append(self, organisation: str, *events: Event, actor: str = "ann", comment: str = "because") -> Appended:
        """Append events in one transaction, each to the stream of its aggregate."""
        streams = dict.fromkeys(stream_of(event) for event in events)
        writes = [Write(stream, tuple(event for event in events if stream_of(event) == stream)) for stream in streams]
        meta = EventMeta(actor=actor, comment=comment)
        return await self.store.append(organisation, str(uuid.uuid4()), Wish(), meta, writes)

    async def create(self, *organisations: str) -> None:
        for organisation in organisations:
            await self.append(organisation, OrganisationCreated(organisation=organisation, title=organisation.title()))

    async def fill(self, organisation: str, versions: int, playbook: str = "start") -> None:
        """So many versions of a playbook, one append each."""
        for version in range(1, versions + 1):
            await self.append(organisation, published(playbook, version, "log", "diff"))

    async def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.pool.fetch(query, *values)]

    async def tamper(self, statement: str, *values: object) -> None:
        """Change the log as only a superuser can: with its triggers off."""
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute("set local session_replication_role = replica")
            await connection.execute(statement, *values)


async def _nobody(organisation: str, seq: int) -> None:
    return None


def registered(server: str, command: str = "mcp-server") -> ServerRegistered:
    return ServerRegistered(server=server, definition=ServerDefinition(command=(command,)))


def call_record(call_id: str, organisation: str = "acme", playbook: str = "start", **changes: Any) -> CallRecord:
    values: dict[str, Any] = {
        "call_id": call_id,
        "organisation": organisation,
        "playbook": playbook,
        "version": 1,
        "method": "tools/call",
        "server": "git",
        "tool": "git__log",
        "upstream_name": "log",
        "digest": "sha256:0",
        "client": "agent",
        "principal": "k1",
        "era": "2025-11-25",
        "outcome": "ok",
        "started_at": datetime.now(UTC),
        "total_us": 1234,
    }
    return CallRecord(**values | changes)


class Stack:
    """Everything one test needs; `close` ends what it started."""

    def __init__(self, directory: Path, nats: EmbeddedNats, dsn: str) -> None:
        self.directory = directory
        self.nats = nats
        self.dsn = dsn
        self.rooms: list[Projections] = []
        self.log: Log
        self.edge: Bus
        self.router: Bus
        self._buses: list[Bus] = []
        self._clients: list[Client] = []

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(self.dsn, min_size=1, max_size=8)
        self.edge = await self.bus_of("edge")
        self.router = await self.bus_of("router")
        self.log = Log(self._pool, self._hint)

    async def projections(self, **changes: Any) -> Projections:
        """Start an instance."""
        values: dict[str, Any] = {
            "nats_url": self.nats.url,
            "nats_credentials": self.credentials("projections"),
            "database_url": self.dsn,
        }
        room = Projections(ProjectionsSettings(**values | changes), f"p{len(self.rooms) + 1}")
        self.rooms.append(room)
        await room.start()
        return room

    def credentials(self, room: str) -> str:
        """The path of a room's credentials."""
        path = self.directory / f"{room}.creds"
        if not path.exists():
            publish, subscribe = subjects.PERMISSIONS[room]
            permissions = Permissions(
                publish=publish, subscribe=(*subscribe, f"{subjects.inbox(room)}.>"), allow_responses=True
            )
            user_creds(self.nats.trust, room, permissions).save(path)
        return str(path)

    async def bus_of(self, room: str) -> Bus:
        """The bus as another room has it."""
        settings = CommonSettings(nats_url=self.nats.url, nats_credentials=self.credentials(room))
        bus = Bus(room, "test", settings)
        await bus.connect(within=PATIENCE)
        self._buses.append(bus)
        return bus

    async def everywhere(self) -> Client:
        """A connection that may do everything, for what is not under test."""
        everything = Permissions(publish=(">",), subscribe=(">",))
        client = Client()
        await client.connect(
            self.nats.url,
            user_credentials=user_creds(self.nats.trust, "test", everything).raw(),
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.05,  # type: ignore[arg-type]  # seconds as a float
        )
        self._clients.append(client)
        return client

    async def record(self, *records: CallRecord) -> None:
        """Publish call records as a router does."""
        for record in records:
            subject = subjects.record(record.organisation, record.playbook)
            await self.router.client.publish(subject, encode_record(record))
        await settled(self.router.client)

    async def burst(self, *lines: CallRecord | bytes, subject: str = "cb.calls.acme.start") -> None:
        """Publish call records as one message; what stands among them as bytes is a line as it is."""
        encoded = [line if isinstance(line, bytes) else encode_record(line) for line in lines]
        await self.router.client.publish(subject, b"\n".join(encoded))
        await settled(self.router.client)

    async def relayed(self) -> list[Msg]:
        """Every message of the stream of events, from its beginning, as a consumer that attaches now gets them."""
        jetstream = (await self.everywhere()).jetstream(timeout=PATIENCE)
        info = await jetstream.stream_info(subjects.STREAM_EVENTS)
        if info.state.messages == 0:
            return []
        subscription = await jetstream.pull_subscribe(f"{subjects.EVENT}.>", stream=subjects.STREAM_EVENTS)
        messages: list[Msg] = []
        while len(messages) < info.state.messages:
            messages += await subscription.fetch(100, timeout=0.5)
        await subscription.unsubscribe()
        return messages

    async def relayed_events(self) -> list[PublishedEvent]:
        return [decode_published(message.data) for message in await self.relayed()]

    def lose_the_bus(self) -> None:
        """Kill NATS and everything that JetStream stored."""
        self.nats.kill()
        shutil.rmtree(self.directory / "nats" / "store")

    async def start_the_bus(self) -> None:
        self.nats.start()
        await asyncio.to_thread(self.nats.wait_ready)

    async def close(self) -> None:
        """Stop everything."""
        if self.nats.pid is None:
            await self.start_the_bus()
        for room in self.rooms:
            await room.stop()
        for bus in self._buses:
            await bus.close()
        for client in self._clients:
            await client.close()
        await self._pool.close()

    async def _hint(self, organisation: str, seq: int) -> None:
        await self.router.tell(subjects.hint(organisation), LogHint(organisation=organisation, seq=seq))


def status_of(room: Projections, name: str) -> ProjectionStatus:
    return next(line for line in room.status().projections if line.projection == name)
