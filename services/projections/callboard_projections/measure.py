"""Measure, once a second, how far each projection, the relay and the call log are behind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import asyncpg
import structlog

from callboard.contracts import subjects
from callboard.contracts.status import PoisonEvent, ProjectionStatus
from callboard.platform.postgres import sql
from callboard_projections.call_log.keep import CallLog
from callboard_projections.history.fold import DATABASE_TROUBLE, Folder
from callboard_projections.poison.record import listed
from callboard_projections.relay.keep_streams import BUS_AWAY, StreamsKeeper
from callboard_projections.relay.publish import CONSUMER, Relay

log = structlog.get_logger()
MEASURE_SECONDS = 1.0


class Measures:
    """The last measurement, for the status, which must answer when the database does not."""

    def __init__(
        self, pool: asyncpg.Pool, folders: Sequence[Folder], relay: Relay, call_log: CallLog, keeper: StreamsKeeper
    ) -> None:
        self._pool = pool
        self._folders = folders
        self._relay = relay
        self._call_log = call_log
        self._keeper = keeper
        self._rows: dict[str, asyncpg.Record] = {}
        self._poison: dict[str, tuple[PoisonEvent, ...]] = {}
        self.database_problem = ""

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            await self._measure_log()
            await self._measure_calls()
            await asyncio.sleep(MEASURE_SECONDS)

    def statuses(self) -> tuple[ProjectionStatus, ...]:
        """One line per projection of the log, then `relay` and `call_log`."""
        folded = [
            self._status(
                folder.projection.name,
                folder.projection.named_tables(self._figure(folder.projection.name, "suffix")),
                folder.problem,
            )
            for folder in self._folders
        ]
        relay = self._status(
            CONSUMER,
            subjects.STREAM_EVENTS,
            self._relay.problem or self._keeper.problem or _skipped(self._relay.too_large),
        )
        calls = ProjectionStatus(
            projection="call_log",
            lag=self._call_log.lag,
            events=self._call_log.written,
            tables="call",
            problem=self._call_log.problem or _refusals(self._call_log.refused),
        )
        return (*folded, relay, calls)

    def figures(self) -> dict[str, float]:
        """Counters of this instance since its start."""
        return {
            "calls_written": float(self._call_log.written),
            "calls_refused": float(self._call_log.refused),
            "events_too_large": float(self._relay.too_large),
        }

    def _status(self, name: str, tables: str, problem: str) -> ProjectionStatus:
        lag, events = self._figure(name, "lag"), self._figure(name, "events")
        poison = self._poison.get(name, ())
        return ProjectionStatus(projection=name, lag=lag, events=events, tables=tables, problem=problem, poison=poison)

    def _figure(self, name: str, figure: str) -> int:
        row = self._rows.get(name)
        return int(row[figure] or 0) if row is not None else 0

    async def _measure_log(self) -> None:
        names = [CONSUMER, *(folder.projection.name for folder in self._folders)]
        try:
            rows = await self._pool.fetch(sql("callboard_projections", "measure"), names)
            self._poison = await listed(self._pool)
        except DATABASE_TROUBLE as error:
            self.database_problem = f"Postgres: {type(error).__name__}"
            return
        self._rows = {row["consumer"]: row for row in rows}
        self.database_problem = ""

    async def _measure_calls(self) -> None:
        try:
            await self._call_log.measure()
        except BUS_AWAY as error:
            log.debug("call_log_not_measured", reason=type(error).__name__)


def _refusals(refused: int) -> str:
    return f"{refused} lines were not call records" if refused else ""


def _skipped(events: int) -> str:
    return f"{events} events are too large for the bus: consumers miss them" if events else ""
