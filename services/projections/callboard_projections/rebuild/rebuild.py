"""Rebuild a projection: new tables, fold from zero while the live ones go on, then switch in one transaction.

The switch holds the row of `rm.projection` FOR UPDATE, so nobody folds meanwhile: both sets of tables are brought to
the head of the log, compared, the views and the cursor are moved. Readers wait for at most that transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import asyncpg
import structlog

from callboard.contracts.problems import Problem
from callboard.contracts.records import Rebuilt
from callboard.platform.event_store import Connection
from callboard.platform.postgres import UNREACHABLE, sql
from callboard.platform.room import cancel_all
from callboard_projections.history.fold import BATCH, DATABASE_TROUBLE, REFUSALS, fold_batch, is_refusal
from callboard_projections.history.projection import PACKAGE, Projection
from callboard_projections.poison.record import folded_by_rebuild
from callboard_projections.rebuild.claim import Claim, ClaimLost, claim, fail, finish, is_finished, read, touch

log = structlog.get_logger()
Value = TypeVar("Value")

RETRY_SECONDS = 120.0
PASSES = 20
"""After so many rounds of catching up the switch is made even if appends are as fast as the fold."""


class Rebuilds:
    """The rebuilds that this instance runs, and the state of all."""

    def __init__(self, pool: asyncpg.Pool, projections: Sequence[Projection]) -> None:
        self._pool = pool
        self._projections = {projection.name: projection for projection in projections}
        self._running: set[asyncio.Task[None]] = set()

    async def begin(self, name: str) -> Rebuilt:
        """Start one and answer at once; raises `projection.unknown` or `projection.rebuilding`."""
        projection = self._known(name)
        held = await claim(self._pool, name)
        task = asyncio.create_task(self._run(projection, held), name=f"rebuild-{name}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await read(self._pool, name)

    async def state(self, name: str) -> Rebuilt:
        """How far the last rebuild of a projection is, whichever instance runs it."""
        self._known(name)
        return await read(self._pool, name)

    async def close(self) -> None:
        """Give up what runs; the live tables were never touched."""
        await cancel_all(*self._running)

    def _known(self, name: str) -> Projection:
        if name not in self._projections:
            raise Problem("projection.unknown", f"there is no projection {name!r}", projection=name)
        return self._projections[name]

    async def _run(self, projection: Projection, held: Claim) -> None:
        rebuild = _Rebuild(self._pool, projection, held)
        try:
            await rebuild.run()
        except ClaimLost:
            log.warning("rebuild_superseded", projection=projection.name)
        except asyncio.CancelledError:
            await self._give_up(held, "the instance that ran it was stopped")
            raise
        except Exception as error:
            log.exception("rebuild_failed", projection=projection.name)
            await self._give_up(held, f"{type(error).__name__} after event {rebuild.events}")
            await self._clean_up(rebuild, held)

    async def _give_up(self, held: Claim, problem: str) -> None:
        try:
            async with asyncio.timeout(1.0):
                await fail(self._pool, held, problem)
        except DATABASE_TROUBLE:
            log.info("rebuild_end_not_recorded", projection=held.projection)

    async def _clean_up(self, rebuild: _Rebuild, held: Claim) -> None:
        try:
            await rebuild.drop_below(held.suffix + 1)
        except DATABASE_TROUBLE:
            log.info("tables_not_dropped", projection=held.projection, suffix=held.suffix)


class _Rebuild:
    def __init__(self, pool: asyncpg.Pool, projection: Projection, held: Claim) -> None:
        self._pool = pool
        self._projection = projection
        self._held = held
        self._positions: dict[str, int] = {}

    @property
    def events(self) -> int:
        """Events folded into the new tables."""
        return sum(self._positions.values())

    async def run(self) -> None:
        """All of it; each step is tried again while the database is away."""
        await self._persist(self._prepare)
        for number in range(PASSES):
            heads = await self._persist(self._heads)
            if number and sum(heads.values()) - self.events < BATCH:
                break
            for organisation, head in heads.items():
                await self._fold_to(organisation, head, sum(heads.values()))
        await self._persist(self._switch)
        log.info("projection_rebuilt", projection=self._projection.name, suffix=self._held.suffix, events=self.events)
        await self._persist(lambda: self.drop_below(self._held.suffix))

    async def _prepare(self) -> None:
        await self.drop_below(self._held.suffix)
        async with self._pool.acquire() as connection, connection.transaction():
            await touch(connection, self._held, 0, sum((await self._heads(connection)).values()))
            if not await connection.fetchval(sql(PACKAGE, "table_exists"), self._table(self._held.suffix)):
                await self._projection.make_tables(connection, self._held.suffix)

    async def _heads(self, connection: Connection | None = None) -> dict[str, int]:
        rows = await (connection or self._pool).fetch(sql("callboard.platform", "heads"))
        return {row["organisation"]: row["seq"] for row in rows}

    async def _fold_to(self, organisation: str, head: int, of_events: int) -> None:
        while self._positions.get(organisation, 0) < head:
            await self._persist(lambda: self._fold_once(organisation, of_events))

    async def _fold_once(self, organisation: str, of_events: int) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            folded = await fold_batch(
                connection, self._projection, self._held.consumer, self._held.suffix, organisation
            )
            done = self.events - self._positions.get(organisation, 0) + folded.at
            await touch(connection, self._held, done, max(of_events, done))
        self._positions[organisation] = folded.at

    async def _switch(self) -> None:
        if await is_finished(self._pool, self._held):
            return  # committed, although the answer was lost
        held, projection = self._held, self._projection
        async with self._pool.acquire() as connection, connection.transaction():
            live = await connection.fetchrow(sql(PACKAGE, "hold_live_alone"), projection.name)
            assert live is not None
            await touch(connection, held, self.events, self.events)
            # Both are brought to these heads, although appends go on.
            heads = await self._heads(connection)
            events = sum(heads.values())
            await self._fold_the_rest(connection, heads)
            same_layout = live["layout"] == projection.layout
            before = await self._live_checksum(connection, live["suffix"], heads) if same_layout else ""
            after = await projection.checksum(connection, held.suffix)
            if not same_layout:
                for table in projection.tables:
                    await connection.execute(sql(PACKAGE, "drop_view").replace("{table}", table))
            await projection.show(connection, held.suffix)
            await connection.execute(sql(PACKAGE, "cursor_drop"), projection.name)
            await connection.execute(sql(PACKAGE, "cursor_rename"), held.consumer, projection.name)
            await connection.execute(sql(PACKAGE, "set_live"), projection.name, held.suffix, projection.layout)
            differ = "the tables before held something else" if before and before != after else ""
            await folded_by_rebuild(connection, projection.name)
            await touch(connection, held, events, events)
            await finish(connection, held, before, after, differ)

    async def _fold_the_rest(self, connection: Connection, heads: dict[str, int]) -> None:
        held = self._held
        for organisation, head in heads.items():
            if self._positions.get(organisation, 0) < head:
                await self._fold_up_to(connection, held.consumer, held.suffix, organisation, head)

    async def _fold_up_to(
        self, connection: Connection, consumer: str, suffix: int, organisation: str, head: int
    ) -> None:
        at = -1
        while at < head:
            at, _ = await fold_batch(connection, self._projection, consumer, suffix, organisation, BATCH, head)

    async def _live_checksum(self, connection: Connection, suffix: int, heads: dict[str, int]) -> str:
        """Of the live tables at the same height, or as near as they can be brought to it."""
        name = self._projection.name
        try:
            async with connection.transaction():
                for row in await connection.fetch(sql(PACKAGE, "behind"), name):
                    head = heads.get(row["organisation"], 0)
                    await self._fold_up_to(connection, name, suffix, row["organisation"], head)
        except REFUSALS as error:
            if not is_refusal(error):
                raise
            log.warning("live_tables_are_stuck", projection=name)
        return await self._projection.checksum(connection, suffix)

    async def drop_below(self, suffix: int) -> None:
        """Drop the tables and cursors of lower suffixes, except the live ones. Suffixes only rise."""
        async with self._pool.acquire() as connection, connection.transaction():
            live = await connection.fetchrow(sql(PACKAGE, "hold_live"), self._projection.name)
            assert live is not None
            await connection.execute(sql(PACKAGE, "wait_briefly"))
            for table in self._projection.tables:
                for name in await connection.fetchval(sql(PACKAGE, "suffixed_tables"), table) or []:
                    number = int(name.rpartition("_")[2])
                    if number < suffix and number != live["suffix"]:
                        await connection.execute(sql(PACKAGE, "drop_table").replace("{table}", name))
            await connection.execute(sql(PACKAGE, "cursor_drop_below"), self._projection.name, suffix)

    def _table(self, suffix: int) -> str:
        return f"rm.{self._projection.tables[0]}_{suffix}"

    async def _persist(self, work: Callable[[], Awaitable[Value]]) -> Value:
        deadline = asyncio.get_running_loop().time() + RETRY_SECONDS
        pause = 0.1
        while True:
            try:
                return await work()
            except UNREACHABLE as error:
                if isinstance(error, ValueError) or asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)
