"""A real NATS and Postgres with one or more authsvc on them, asked with the very permissions of the other rooms."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from nats.aio.client import Client

from callboard.contracts import subjects
from callboard.contracts.access import CreateOrganisation, IssueToken, TokenIssued
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.kernel.tokens import compose
from callboard.local.nats_server import EmbeddedNats
from callboard.platform.bus import Bus
from callboard.platform.bus_identity import Permissions, user_creds
from callboard.platform.settings import CommonSettings, Sensitive
from callboard_authsvc.app import Authsvc, read_materials
from callboard_authsvc.clock import utc_now
from callboard_authsvc.settings import AuthsvcSettings
from tests.support.waiting import PATIENCE


class SteppingClock:
    """A clock that goes on when it is told to."""

    def __init__(self, now: datetime | None = None) -> None:
        self.now = now or datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now

    def step(self, **delta: float) -> None:
        self.now += timedelta(**delta)


def new_id() -> str:
    """A command id."""
    return str(uuid.uuid4())


def some_token(fill: int) -> str:
    """A well-formed token that nobody issued."""
    return compose(bytes([fill]) * 40)


async def refused(code: str, work: Awaitable[Any]) -> Problem:
    """The refusal with this code that the work ends with."""
    with pytest.raises(Problem) as refusal:
        await work
    assert refusal.value.code == code, refusal.value.message
    return refusal.value


def permissions_of(room: str) -> Permissions:
    """What the credentials of a room allow."""
    publish, subscribe = subjects.PERMISSIONS[room]
    return Permissions(publish=publish, subscribe=(*subscribe, f"{subjects.inbox(room)}.>"), allow_responses=True)


class Stack:
    """Everything one test needs; `close` ends what it started."""

    def __init__(self, directory: Path, nats: EmbeddedNats, dsn: str) -> None:
        self.directory = directory
        self.nats = nats
        self.dsn = dsn
        self.key_file = directory / "keys" / "vault.key"
        self.rooms: list[Authsvc] = []
        self._numbers = 0
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._pool: asyncpg.Pool | None = None

    def credentials(self, room: str) -> str:
        """The path of a room's credentials."""
        path = self.directory / f"{room}.creds"
        if not path.exists():
            user_creds(self.nats.trust, room, permissions_of(room)).save(path)
        return str(path)

    def settings(self, **changes: Any) -> AuthsvcSettings:
        """Settings that fit this stack."""
        values: dict[str, Any] = {
            "nats_url": self.nats.url,
            "nats_credentials": self.credentials("authsvc"),
            "database_url": Sensitive(self.dsn),
            "database_pool": 4,
            "key_file": str(self.key_file),
            "create_keys": True,
            "trust_dir": str(self.nats.log_path.parent / "trust"),
        }
        return AuthsvcSettings(**{**values, **changes})

    async def authsvc(self, *, clock: Callable[[], datetime] = utc_now, **changes: Any) -> Authsvc:
        """Start an instance."""
        self._numbers += 1
        room = Authsvc(read_materials(self.settings(**changes)), f"a{self._numbers}", clock=clock)
        self.rooms.append(room)
        await room.start()
        return room

    async def stop(self, room: Authsvc) -> None:
        """Stop an instance before the end of the test."""
        self.rooms.remove(room)
        await room.stop()

    async def bus_of(self, room: str) -> Bus:
        """The bus as another room has it."""
        bus = Bus(room, "test", CommonSettings(nats_url=self.nats.url, nats_credentials=self.credentials(room)))
        await bus.connect(within=PATIENCE)
        self._closers.append(bus.close)
        return bus

    async def everywhere(self) -> Client:
        """A connection that may do everything, for what is not under test."""
        everything = Permissions(publish=(">",), subscribe=(">",))
        client = Client()
        await client.connect(self.nats.url, user_credentials=user_creds(self.nats.trust, "test", everything).raw())
        self._closers.append(client.close)
        return client

    async def make_streams(self) -> Client:
        """The two streams that projections makes."""
        client = await self.everywhere()
        jetstream = client.jetstream()
        await jetstream.add_stream(name=subjects.STREAM_EVENTS, subjects=[f"{subjects.EVENT}.>"])
        await jetstream.add_stream(name=subjects.STREAM_CALLS, subjects=[f"{subjects.RECORD}.>"])
        return client

    async def pool(self) -> asyncpg.Pool:
        """The database, past every service."""
        if self._pool is None:
            self._pool = await asyncpg.create_pool(self.dsn, min_size=1, max_size=2)
        return self._pool

    async def rows(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Rows of the database, past every service."""
        found: list[asyncpg.Record] = await (await self.pool()).fetch(query, *arguments)
        return found

    async def events(self, organisation: str) -> list[str]:
        """The types in an organisation's log, in order."""
        query = "select type from cb.event where organisation = $1 order by seq"
        return [row["type"] for row in await self.rows(query, organisation)]

    async def everything_stored(self) -> str:
        """Every row of every table as text, to look for what must not be there."""
        query = "select table_name from information_schema.tables where table_schema = 'cb'"
        tables = [row["table_name"] for row in await self.rows(query)]
        return "\n".join(
            [str([tuple(row) for row in await self.rows(f"select * from cb.{table}")]) for table in tables]
        )

    async def close(self) -> None:
        """Stop everything."""
        for room in self.rooms:
            await room.stop()
        for closer in self._closers:
            async with asyncio.timeout(PATIENCE):
                await closer()
        if self._pool is not None:
            await self._pool.close()


class Edge:
    """What the edge asks of the authsvc."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus

    async def create(self, organisation: str, command_id: str = "") -> Done:
        command = CreateOrganisation(command_id=command_id or new_id(), organisation=organisation, actor="ann")
        return await self.bus.ask(subjects.CREATE_ORGANISATION, command, Done)

    async def issue(self, organisation: str = "acme", client: str = "agent", **rest: Any) -> TokenIssued:
        command = IssueToken(**{"command_id": new_id(), "organisation": organisation, "client": client} | rest)
        return await self.bus.ask(subjects.ISSUE_TOKEN, command, TokenIssued)
