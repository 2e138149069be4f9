"""Daily partitions of the call log: made ahead, dropped when they are old. Several instances may do it at once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta

import asyncpg
import structlog

from callboard.platform.event_store import Connection
from callboard.platform.postgres import sql
from callboard_projections.call_log.domain import PARENTS, bounds_of, day_of, expired, partition_of

log = structlog.get_logger()
_HERE = "callboard_projections"


class Partitions:
    """Knows which days have a partition, so that the database is asked once per day."""

    def __init__(self, pool: asyncpg.Pool, keep: timedelta) -> None:
        self._pool = pool
        self._keep = keep
        self._known: set[date] = set()

    async def make(self, days: Iterable[date]) -> None:
        """Make the partitions of these days where they are missing."""
        for day in sorted(set(days) - self._known):
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(sql(_HERE, "partitions_lock"))
                for parent in PARENTS:
                    await self._make(connection, parent, day)
            self._known.add(day)

    async def _make(self, connection: Connection, parent: str, day: date) -> None:
        name = partition_of(day, parent)
        if await connection.fetchval(sql(_HERE, "table_exists"), f"cb.{name}"):
            return
        start, end = bounds_of(day)
        # Attached, not created as a partition: that would make every reader wait.
        text = sql(_HERE, "partition_make").replace("{partition}", name).replace("{parent}", parent)
        await connection.execute(text.replace("{from}", start).replace("{to}", end))
        log.info("partition_made", partition=name)

    def forget(self) -> None:
        """What was known is not true any more (another instance dropped one, the database was restored)."""
        self._known.clear()

    async def keep(self, now: datetime) -> None:
        """Make today's and tomorrow's, drop what is too old."""
        today = day_of(now)
        await self.make((today, today + timedelta(days=1)))
        names = [row["partition"] for row in await self._pool.fetch(sql(_HERE, "partitions"))]
        for name in expired(names, today, self._keep):
            await self._drop(name)

    async def _drop(self, name: str) -> None:
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(sql(_HERE, "partitions_lock"))
                await connection.execute(sql(_HERE, "wait_briefly"))
                await connection.execute(sql(_HERE, "partition_drop").replace("{partition}", name))
        except asyncpg.LockNotAvailableError:
            log.info("partition_in_use", partition=name)  # tried again the next time
            return
        self.forget()
        log.info("partition_dropped", partition=name)
