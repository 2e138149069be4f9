"""Write call records: COPY into the call log; where some are there already, insert what is not there yet."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from datetime import datetime

import asyncpg

from callboard.platform.event_store import Connection
from callboard.platform.postgres import sql
from callboard_projections.call_log.domain import COLUMNS, Row, day_of
from callboard_projections.call_log.partitions import Partitions

_HERE = "callboard_projections"
_CONTENT = (*COLUMNS[:3], "content")
_KEY = operator.itemgetter(slice(3))
_REFUSED: tuple[type[Exception], ...] = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    # What COPY raises here for a value that does not fit, before the server sees it.
    OverflowError,
    TypeError,
    ValueError,
)


class CallStore:
    """Writes rows of `cb.call`; a row that is there already is left as it is."""

    def __init__(self, pool: asyncpg.Pool, partitions: Partitions) -> None:
        self._pool = pool
        self._partitions = partitions

    async def write(self, rows: Sequence[Row]) -> tuple[int, int]:
        """Write rows in one transaction; (new ones, ones that the database refuses).

        What Postgres refuses is found by halving, so that it costs nothing but itself.
        """
        if not rows:
            return 0, 0
        try:
            return await self._write(rows), 0
        except _REFUSED:
            if len(rows) == 1:
                return 0, 1
            middle = len(rows) // 2
            first, second = await self.write(rows[:middle]), await self.write(rows[middle:])
            return first[0] + second[0], first[1] + second[1]

    async def _write(self, rows: Sequence[Row]) -> int:
        try:
            return await self._keep(rows)
        except asyncpg.CheckViolationError:
            # No partition for a row: its day is a past one, another instance dropped it, the database was restored.
            self._partitions.forget()
            await self._partitions.make({day_of(row[0]) for row in rows if isinstance(row[0], datetime)})
            return await self._keep(rows)

    async def _keep(self, rows: Sequence[Row]) -> int:
        """Straight into the table; only when some are there already, what is new of them, which costs twice as much.

        Always in the order of their keys: writers with the same rows then wait for each other and do not deadlock.
        """
        rows = sorted(rows, key=_KEY)
        calls = [row[:-1] for row in rows]
        contents = [(*row[:3], row[-1]) for row in rows if row[-1] is not None]
        async with self._pool.acquire() as connection:
            try:
                return await _copied(connection, calls, contents)
            except (asyncpg.UniqueViolationError, asyncpg.FeatureNotSupportedError):
                # Not supported: COPY does not go through a wall that binds the owner too, as it does before 0042.
                return await _merged(connection, calls, contents)


async def _copied(connection: Connection, calls: Sequence[Row], contents: Sequence[Row]) -> int:
    if not contents:  # a COPY is a transaction by itself
        return _count(await connection.copy_records_to_table("call", schema_name="cb", records=calls, columns=COLUMNS))
    async with connection.transaction():
        await connection.copy_records_to_table("call", schema_name="cb", records=calls, columns=COLUMNS)
        await connection.copy_records_to_table("call_content", schema_name="cb", records=contents, columns=_CONTENT)
        return len(calls)


async def _merged(connection: Connection, calls: Sequence[Row], contents: Sequence[Row]) -> int:
    async with connection.transaction():
        await connection.execute(sql(_HERE, "call_incoming"))
        await connection.copy_records_to_table("call_incoming", records=calls, columns=COLUMNS)
        status = await connection.execute(sql(_HERE, "call_insert"))
        if contents:
            await connection.execute(sql(_HERE, "content_incoming"))
            await connection.copy_records_to_table("content_incoming", records=contents, columns=_CONTENT)
            await connection.execute(sql(_HERE, "content_insert"))
        return _count(status)


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])
