"""The table `cb.login_attempt`: how often somebody tried lately, over all instances."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from callboard.platform.postgres import persist, sql
from callboard.platform.walls import across

_PACKAGE = "callboard_authsvc"


class AttemptTable:
    """Subjects are keyed hashes, so that the table says nothing of who tried."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = across(pool)  # attempts are counted before it is known who tries

    async def take(self, limits: Sequence[tuple[bytes, int]], after: datetime, now: datetime) -> datetime | None:
        """One attempt, unless a subject has had as many as it may since `after`; then since when, and none is counted.

        Exact: whoever asks for the same subject waits for the lock of its rows, on every instance.
        """

        async def taken() -> datetime | None:
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(sql(_PACKAGE, "lock_attempts"), sorted(subject for subject, _ in limits))
                for subject, allowed in limits:
                    row = await connection.fetchrow(sql(_PACKAGE, "count_attempts"), subject, after)
                    if row is not None and row["attempts"] >= allowed:
                        first: datetime = row["first"]
                        return first
                await connection.execute(sql(_PACKAGE, "note_attempt"), [subject for subject, _ in limits], now)
                await connection.execute(sql(_PACKAGE, "old_attempts"), after)
                return None

        return await persist(taken)

    async def forgive(self, subject: bytes) -> None:
        """Forget the attempts of a subject."""
        await persist(lambda: self._pool.execute(sql(_PACKAGE, "forgive_attempts"), subject))
