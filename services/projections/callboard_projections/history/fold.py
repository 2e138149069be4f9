"""Fold the log into the live tables of a projection: each batch and its cursor in one transaction.

The row of `rm.projection`, held FOR SHARE, keeps the tables from being switched meanwhile; the cursor row, held FOR
UPDATE, makes one writer of any number of instances. A hole is impossible: the events are read from Postgres up to
the head of the organisation's log, which is gapless.
"""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

import asyncpg
import msgspec
import structlog

from callboard.platform.event_store import Connection, recorded_of
from callboard.platform.postgres import UNREACHABLE, sql
from callboard.platform.walls import across
from callboard_projections.history.projection import PACKAGE, Projection
from callboard_projections.history.traced import FoldSpans
from callboard_projections.poison.record import record

log = structlog.get_logger()

BATCH = 1000
"""Events of the log that a projection looks at in one transaction."""
BATCH_BYTES = 16_000_000
"""And about how many bytes of those that it folds: one event may have 24 MB."""
SPAN = 50_000
"""How far it looks for the next event of its kinds when there is none among these."""
SWEEP_SECONDS = 0.5
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0

REFUSALS: tuple[type[Exception], ...] = (
    asyncpg.PostgresError,
    msgspec.MsgspecError,
    ValueError,
    TypeError,
    LookupError,
)
"""What an event raises that cannot be folded (and what a database raises that is not away)."""


DATABASE_TROUBLE: tuple[type[BaseException], ...] = (asyncpg.PostgresError, *UNREACHABLE)
"""Whatever a database can answer, or not answer."""


class Folded(NamedTuple):
    """Where a cursor stands after a batch, and the head of the log it was compared with."""

    at: int
    head: int


class FoldRefused(Exception):
    """The event after `at` cannot be folded; the cause says why."""

    def __init__(self, organisation: str, seq: int, cause: Exception) -> None:
        super().__init__(f"{organisation} {seq}: {type(cause).__name__}")
        self.organisation = organisation
        self.seq = seq
        self.reason = type(cause).__name__


class OtherLayout(Exception):
    """The live tables are those of another release; its instances fold them."""


def is_refusal(error: Exception) -> bool:
    """Whether the event is to blame. asyncpg counts a value it cannot encode among the interface errors."""
    return isinstance(error, ValueError) or not isinstance(error, UNREACHABLE)


async def fold_batch(
    connection: Connection,
    projection: Projection,
    consumer: str,
    suffix: int,
    organisation: str,
    limit: int = BATCH,
    highest: int | None = None,
) -> Folded:
    """Fold up to `limit` events of one organisation, none above `highest`, inside a transaction of the caller."""
    at = await _locked_cursor(connection, consumer, organisation)
    head = await connection.fetchval(sql(PACKAGE, "head"), organisation) or 0
    head = head if highest is None else min(head, highest)
    upto = min(head, at + limit)
    if upto <= at:
        return Folded(at, head)
    kinds = list(projection.kinds)
    rows = await connection.fetch(
        sql(PACKAGE, "read_kinds"), organisation, at, upto, kinds, BATCH_BYTES, projection.name
    )
    if rows and rows[-1]["bytes"] >= BATCH_BYTES:
        upto = rows[-1]["seq"]
    if not rows and upto < head:
        last = min(head, at + SPAN)
        found = await connection.fetchval(sql(PACKAGE, "next_of_kinds"), organisation, upto, last, kinds)
        upto = last if found is None else found - 1
    await projection.apply(connection, [recorded_of(row) for row in rows], suffix)
    await connection.execute(sql(PACKAGE, "advance"), consumer, organisation, upto)
    return Folded(upto, head)


async def _locked_cursor(connection: Connection, consumer: str, organisation: str) -> int:
    at: int | None = await connection.fetchval(sql(PACKAGE, "lock_cursor"), consumer, organisation)
    if at is None:
        await connection.execute(sql(PACKAGE, "add_cursor"), consumer, organisation)
        at = await connection.fetchval(sql(PACKAGE, "lock_cursor"), consumer, organisation)
    return at or 0


class _Stuck(NamedTuple):
    seq: int
    reason: str
    pause: float
    again_at: float


class Folder:
    """Keeps the live tables of one projection up with the log; `catch_up` does so at once, for a reader."""

    def __init__(self, pool: asyncpg.Pool, projection: Projection, spans: FoldSpans | None = None) -> None:
        self._pool = across(pool)  # read models are the keeper's; who reads them is confined, who folds them is not
        self.projection = projection
        self.spans = spans
        self._locks: dict[str, asyncio.Lock] = {}
        self._stuck: dict[str, _Stuck] = {}
        self._foreign = False
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Somebody appended."""
        self._wake.set()

    @property
    def problem(self) -> str:
        """Why this projection does not get on; empty when it does."""
        if self._foreign:
            return "the tables belong to another release"
        return "; ".join(
            f"stopped before {organisation} seq {stuck.seq}: {stuck.reason}"
            for organisation, stuck in sorted(self._stuck.items())
        )

    def try_now(self, organisation: str) -> None:
        """Whatever it stopped at there: do not wait before the next try."""
        stuck = self._stuck.get(organisation)
        if stuck is not None:
            self._stuck[organisation] = stuck._replace(again_at=0.0)

    async def catch_up(self, organisation: str) -> int | None:
        """Fold what is committed now; returns the head of the log, None for an unknown organisation.

        A projection that is stopped by an event it cannot fold stays where it is, and the reader reads that.
        """
        row = await self._pool.fetchrow(sql(PACKAGE, "position"), self.projection.name, organisation)
        if row is None:
            return None
        if row["at"] < row["head"]:
            await self._fold_to(organisation, row["at"], row["head"])
        head: int = row["head"]
        return head

    async def catch_up_all(self) -> None:
        """The same for every organisation."""
        rows = await self._pool.fetch(sql(PACKAGE, "behind"), self.projection.name)
        behind = {row["organisation"]: row["at"] for row in rows}
        for organisation, stuck in list(self._stuck.items()):
            if behind.get(organisation, stuck.seq) >= stuck.seq:
                del self._stuck[organisation]  # another instance got past it
        for row in rows:
            await self._fold_to(row["organisation"], row["at"], row["head"])

    async def run(self) -> None:
        """Fold until cancelled."""
        while True:
            try:
                await self.catch_up_all()
            except UNREACHABLE as error:
                log.info("fold_waits", projection=self.projection.name, reason=type(error).__name__)
            except Exception:
                log.exception("fold_failed", projection=self.projection.name)
            try:
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    async def _fold_to(self, organisation: str, after: int, head: int) -> None:
        async with self._locks.setdefault(organisation, asyncio.Lock()):
            stuck = self._stuck.get(organisation)
            if stuck is not None and asyncio.get_running_loop().time() < stuck.again_at:
                return
            began = time.time_ns()
            try:
                reached = await self._fold_until(organisation, head)
                if self.spans is not None:
                    self.spans.folded(organisation, after, reached, began)
                self._stuck.pop(organisation, None)
                self._foreign = False
            except FoldRefused as refused:
                await self._stop_at(refused)
            except OtherLayout:
                self._foreign = True

    async def _fold_until(self, organisation: str, head: int) -> int:
        """Fold up to `head`; returns how far that is.

        A batch that is refused is tried in halves, so that all before the culprit is folded.
        """
        limit, at = BATCH, -1
        while at < head:
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    suffix = await self._live_suffix(connection)
                    at, _ = await fold_batch(
                        connection, self.projection, self.projection.name, suffix, organisation, limit
                    )
            except REFUSALS as error:
                if not is_refusal(error):
                    raise
                if limit == 1:
                    reached = await self._pool.fetchrow(sql(PACKAGE, "position"), self.projection.name, organisation)
                    raise FoldRefused(organisation, (reached["at"] if reached else 0) + 1, error) from error
                limit //= 2
        return at

    async def _live_suffix(self, connection: Connection) -> int:
        live = await connection.fetchrow(sql(PACKAGE, "hold_live"), self.projection.name)
        if live is None or live["layout"] != self.projection.layout:
            raise OtherLayout
        suffix: int = live["suffix"]
        return suffix

    async def _stop_at(self, refused: FoldRefused) -> None:
        before = self._stuck.get(refused.organisation)
        pause = min(before.pause * 2, LONGEST_PAUSE) if before is not None else FIRST_PAUSE
        again_at = asyncio.get_running_loop().time() + pause
        self._stuck[refused.organisation] = _Stuck(refused.seq, refused.reason, pause, again_at)
        log.error(
            "event_not_folded",
            projection=self.projection.name,
            organisation=refused.organisation,
            seq=refused.seq,
            exc_info=refused.__cause__,
        )
        await record(self._pool, self.projection.name, refused.organisation, refused.seq, refused.reason)
