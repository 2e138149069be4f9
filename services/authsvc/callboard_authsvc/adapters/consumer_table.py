"""The table `cb.consumer`, and the lock under which consumers are administered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime

import asyncpg
import msgspec

from callboard.platform.event_store import Connection
from callboard.platform.postgres import UNREACHABLE, persist, sql

_PACKAGE = "callboard_authsvc"


class ConsumerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One admitted consumer."""

    consumer: str
    public_key: str
    admitted_at: datetime


class ConsumerTable:
    """Reads wait for a database that restarts; writes happen in the caller's transaction."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
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
                await self._pool.release(connection)

    async def _locked(self) -> asyncpg.pool.PoolConnectionProxy:
        connection = await self._pool.acquire()
        try:
            await connection.execute(sql(_PACKAGE, "lock_consumers"))
        except BaseException:
            await self._pool.release(connection)
            raise
        return connection

    async def insert(
        self, connection: Connection, organisation: str, consumer: str, public_key: str, now: datetime
    ) -> None:
        """Add an admitted consumer."""
        await connection.execute(sql(_PACKAGE, "insert_consumer"), organisation, consumer, public_key, now)

    async def dismiss(self, connection: Connection, organisation: str, consumer: str, now: datetime) -> None:
        """Mark the admitted one of this name as dismissed."""
        await connection.execute(sql(_PACKAGE, "dismiss_consumer"), organisation, consumer, now)

    async def is_active(self, organisation: str, consumer: str) -> bool:
        """Whether one of this name is admitted."""
        return any(row.consumer == consumer for row in await self.active(organisation))

    async def active(self, organisation: str) -> list[ConsumerRow]:
        """The admitted ones of an organisation, by name."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "active_consumers"), organisation))
        return [
            ConsumerRow(consumer=row["consumer"], public_key=row["public_key"], admitted_at=row["admitted_at"])
            for row in rows
        ]

    async def active_names(self) -> list[tuple[str, str]]:
        """(organisation, consumer) of all that are admitted."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "active_consumer_names")))
        return [(row["organisation"], row["consumer"]) for row in rows]

    async def dismissed_names(self) -> list[tuple[str, str]]:
        """(organisation, consumer) of all that were dismissed in the last week and are not admitted again."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "dismissed_consumer_names")))
        return [(row["organisation"], row["consumer"]) for row in rows]

    async def dismissed_keys(self) -> dict[str, datetime]:
        """Public key -> when it was dismissed, of every organisation and for ever."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "dismissed_consumer_keys")))
        return {row["public_key"]: row["dismissed_at"] for row in rows}
