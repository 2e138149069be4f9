"""The table `cb.consumer`, and the lock under which consumers are administered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import NamedTuple

import asyncpg
import msgspec

from callboard.platform.event_store import Connection
from callboard.platform.postgres import UNREACHABLE, persist, sql
from callboard.platform.walls import across

_PACKAGE = "callboard_authsvc"


class ConsumerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One admission. `public_key` is that of its account."""

    organisation: str
    consumer: str
    public_key: str
    admitted_at: datetime


class Dependent(NamedTuple):
    """A consumer that a member admitted; `rights`: role and permissions of that member, none when it left."""

    organisation: str
    consumer: str
    public_key: str
    rights: tuple[str, ...]


class ConsumerTable:
    """Reads wait for a database that restarts; writes happen in the caller's transaction."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._across = across(pool)  # the lock is that of the installation, as is what NATS knows
        self._here = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """One at a time in the whole installation: rows and what NATS knows change together.

        At most one connection of this process waits for the lock, so that the others stay free for the work.
        """
        async with self._here:
            connection = await persist(self._locked)
            try:
                yield
            finally:
                # A lock of a connection that is gone is gone too.
                with contextlib.suppress(*UNREACHABLE):
                    await connection.execute(sql(_PACKAGE, "unlock_consumers"))
                await self._across.release(connection)

    async def _locked(self) -> asyncpg.pool.PoolConnectionProxy:
        connection = await self._across.acquire()
        try:
            await connection.execute(sql(_PACKAGE, "lock_consumers"))
        except BaseException:
            await self._across.release(connection)
            raise
        return connection

    async def insert(
        self,
        connection: Connection,
        organisation: str,
        consumer: str,
        public_key: str,
        now: datetime,
        admitted_by: str = "",
    ) -> None:
        """Add an admitted consumer. `admitted_by`: the member on whose right it depends, if any."""
        row = (organisation, consumer, public_key, now, admitted_by)
        await connection.execute(sql(_PACKAGE, "insert_consumer"), *row)

    async def dismiss(self, connection: Connection, organisation: str, consumer: str, now: datetime) -> None:
        """Mark the admitted one of this name as dismissed."""
        await connection.execute(sql(_PACKAGE, "dismiss_consumer"), organisation, consumer, now)

    async def is_active(self, organisation: str, consumer: str) -> bool:
        """Whether one of this name is admitted."""
        return any(row.consumer == consumer for row in await self.active(organisation))

    async def active(self, organisation: str) -> list[ConsumerRow]:
        """The admitted ones of an organisation, by name."""
        return await self._rows("active_consumers", organisation)

    async def all_active(self) -> list[ConsumerRow]:
        """The admitted ones of every organisation."""
        return _consumers(await persist(lambda: self._across.fetch(sql(_PACKAGE, "all_active_consumers"))))

    async def dependent(self) -> list[Dependent]:
        """The admitted ones of every organisation that depend on a member, and what that one may do now."""
        rows = await persist(lambda: self._across.fetch(sql(_PACKAGE, "dependent_consumers")))
        return [
            Dependent(
                row["organisation"],
                row["consumer"],
                row["public_key"],
                () if row["role"] is None else (row["role"], *row["permissions"]),
            )
            for row in rows
        ]

    async def dismissed(self, organisation: str, consumer: str) -> list[ConsumerRow]:
        """The admissions of this name that have ended."""
        return await self._rows("dismissed_consumers", organisation, consumer)

    async def all_dismissed(self) -> list[ConsumerRow]:
        """Every admission of every organisation that has ended."""
        return _consumers(await persist(lambda: self._across.fetch(sql(_PACKAGE, "all_dismissed_consumers"))))

    async def _rows(self, statement: str, *arguments: str) -> list[ConsumerRow]:
        return _consumers(await persist(lambda: self._pool.fetch(sql(_PACKAGE, statement), *arguments)))


def _consumers(rows: list[asyncpg.Record]) -> list[ConsumerRow]:
    return [
        ConsumerRow(
            organisation=row["organisation"],
            consumer=row["consumer"],
            public_key=row["public_key"],
            admitted_at=row["admitted_at"],
        )
        for row in rows
    ]
