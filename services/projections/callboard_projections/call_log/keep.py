"""Keep the call log: take records from the stream, write them, then acknowledge. Repetitions leave no trace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import asyncpg
import structlog

from callboard.contracts.calls import record_lines
from callboard.platform.postgres import UNREACHABLE
from callboard_projections.call_log.domain import RecordRefused, Row, at_once, read_record, row_of
from callboard_projections.call_log.partitions import Partitions
from callboard_projections.call_log.pull import Delivered, Pull, PullLost
from callboard_projections.call_log.store import CallStore
from callboard_projections.relay.keep_streams import BUS_AWAY

log = structlog.get_logger()

MESSAGES = 100
"""Asked for at once; how many bytes they may be together is up to `Pull`."""
ROWS = 150
"""Written at once: few enough that a call that comes meanwhile does not wait long for its turn of a processor."""
PARTITIONS_SECONDS = 600.0
_AWAY: tuple[type[BaseException], ...] = (*UNREACHABLE, *BUS_AWAY, PullLost)


class CallLog:
    """One of any number of writers of the call log. `lag`: messages, of one or more records, not written yet."""

    def __init__(
        self, pull: Pull, store: CallStore, partitions: Partitions, keep: timedelta, now: Callable[[], datetime]
    ) -> None:
        self._pull = pull
        self._store = store
        self._partitions = partitions
        self._keep = keep
        self._now = now
        self._partitions_at = 0.0
        self.lag = 0
        self.written = 0
        self.refused = 0
        self.problem = ""

    async def run(self) -> None:
        """Keep it until cancelled; when it ends, what was not acknowledged is delivered to another instance."""
        while True:
            try:
                await self._session()
            except _AWAY as error:
                self.problem = f"waits: {type(error).__name__}"
                log.info("call_log_waits", reason=str(error)[:200])
            except asyncpg.PostgresError as error:
                self.problem = f"cannot write: {type(error).__name__}"
                log.warning("call_log_not_written", error=type(error).__name__, sqlstate=error.sqlstate)
            except Exception:
                self.problem = "failed: see the log of projections"
                log.exception("call_log_failed")
            await asyncio.sleep(0.25)

    async def measure(self) -> None:
        """Ask how many messages wait."""
        self.lag = await self._pull.pending()

    async def _session(self) -> None:
        await self._keep_partitions()
        await self._pull.attach()
        while True:
            await self._keep_partitions()
            messages = await self._pull.batch(MESSAGES)
            self.problem = ""
            if messages:
                await self._write(messages)

    async def _write(self, messages: Sequence[Delivered]) -> None:
        """Every line is judged for itself; a message is acknowledged when all its records are written."""
        lines = [(message, record_lines(message.data)) for message in messages]
        most = at_once(sum(len(its) for _, its in lines), ROWS)
        rows: list[Row] = []
        whole: list[Delivered] = []
        for message, its in lines:
            for line in its:
                row = self._row(message.subject, line)
                if row is not None:
                    rows.append(row)
                if len(rows) >= most:
                    await self._write_rows(rows, whole)
                    rows, whole = [], []
            whole.append(message)
        await self._write_rows(rows, whole)

    async def _write_rows(self, rows: Sequence[Row], whole: Sequence[Delivered]) -> None:
        started = time.monotonic()
        new, refused = await self._patiently(rows)
        self.written += new
        self.refused += refused
        for message in whole:
            await self._pull.done(message)
        log.debug("calls_written", new=new, of=len(rows), seconds=round(time.monotonic() - started, 4))

    async def _patiently(self, rows: Sequence[Row]) -> tuple[int, int]:
        """Write while the database comes and goes: the records are here, a redelivery would take half a minute."""
        pause = 0.1
        while True:
            try:
                return await self._store.write(rows)
            except UNREACHABLE as error:
                self.problem = f"waits: {type(error).__name__}"
                log.info("call_log_waits", reason=type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)

    def _row(self, subject: str, line: bytes) -> Row | None:
        try:
            return row_of(read_record(subject, line, self._now(), self._keep))
        except RecordRefused as refused:
            self.refused += 1
            log.warning("record_refused", subject=subject, reason=str(refused))
            return None

    async def _keep_partitions(self) -> None:
        if time.monotonic() >= self._partitions_at:
            await self._partitions.keep(self._now())
            self._partitions_at = time.monotonic() + PARTITIONS_SECONDS
