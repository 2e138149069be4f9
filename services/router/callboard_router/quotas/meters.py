"""The meters of all organisations whose plan limits their calls, brought together over Postgres every second.

No call waits for that: several routers may let pass, together, what came to them within one second over the limit.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Final

import asyncpg
import structlog

from callboard.platform.postgres import UNREACHABLE, persist, sql
from callboard_router.quotas.domain import DAY, Meter

log = structlog.get_logger()
_PACKAGE: Final = "callboard_router"
_EVERY_SECONDS: Final = 1.0
TROUBLE: tuple[type[BaseException], ...] = (asyncpg.PostgresError, *UNREACHABLE)
"""What writing may raise."""


class Meters:
    """`limited` is empty where no plan limits calls, and then nothing is counted."""

    def __init__(self) -> None:
        self.limited: dict[str, Meter] = {}
        self._writing = asyncio.Lock()

    def limit(self, organisation: str, plan: str, calls_per_day: int | None) -> None:
        """The organisation has this plan from here on."""
        before = self.limited.pop(organisation, None)
        if calls_per_day is None:
            return
        meter = self.limited[organisation] = before or Meter(plan, calls_per_day)
        meter.plan, meter.limit, meter.touched = plan, calls_per_day, True

    def take(self, organisation: str) -> None:
        """Count one call; raises `quota.exceeded`."""
        meter = self.limited.get(organisation)
        if meter is not None:
            meter.take(time.time())

    async def run(self, pool: asyncpg.Pool) -> None:
        """Write and read until cancelled."""
        while True:
            try:
                await self.write(pool)
            except TROUBLE as error:
                log.warning("usage_not_written_yet", reason=type(error).__name__)
            await asyncio.sleep(_EVERY_SECONDS)

    async def write(self, pool: asyncpg.Pool) -> None:
        """Add what was counted here, and learn what all routers counted."""
        async with self._writing:
            await self._write(pool)

    async def _write(self, pool: asyncpg.Pool) -> None:
        today = int(time.time() // DAY)
        due = {name: meter for name, meter in self.limited.items() if meter.touched}
        if not due:
            return
        counts = {name: meter.fresh if meter.day == today else 0 for name, meter in due.items()}
        for meter in due.values():
            meter.touched = False
        try:
            rows = await pool.fetch(sql(_PACKAGE, "add_calls_used"), _date(today), list(counts), list(counts.values()))
        except BaseException:
            for meter in due.values():
                meter.touched = True
            raise
        for row in rows:
            meter = due[row["organisation"]]
            if meter.day in (0, today):
                meter.day, meter.written = today, row["used"]
                meter.fresh -= counts[row["organisation"]]

    async def calls_today(self, organisation: str, pool: asyncpg.Pool) -> int | None:
        """What was counted today, here and elsewhere; None where calls are not limited."""
        meter = self.limited.get(organisation)
        if meter is None:
            return None
        await persist(lambda: self.write(pool))
        today = int(time.time() // DAY)
        used = await persist(lambda: pool.fetchval(sql(_PACKAGE, "calls_used"), organisation, _date(today)))
        return (used or 0) + (meter.fresh if meter.day == today else 0)


def _date(day: int) -> object:
    return datetime.fromtimestamp(day * DAY, UTC).date()
