"""The record of a rebuild in `rm.rebuild`: one at a time per projection, over all instances.

A running rebuild touches its row with every batch. One that was not touched for `DEAD_SECONDS` ran in an instance
that is gone, and another may claim the projection; the token fences the first one off should it live after all.
"""

from __future__ import annotations

import uuid
from typing import NamedTuple

import asyncpg

from callboard.contracts.problems import Problem
from callboard.contracts.records import Rebuilt
from callboard.platform.event_store import Connection
from callboard.platform.postgres import persist, sql
from callboard_projections.history.projection import PACKAGE

DEAD_SECONDS = 30.0


class Claim(NamedTuple):
    """The right to rebuild a projection into the tables with this suffix."""

    projection: str
    token: uuid.UUID
    suffix: int

    @property
    def consumer(self) -> str:
        """The cursor of the rebuild, until it becomes that of the projection."""
        return f"{self.projection}~{self.suffix}"


class ClaimLost(Exception):
    """Another instance took this one for dead and rebuilds now."""


async def claim(pool: asyncpg.Pool, projection: str) -> Claim:
    """Claim a projection; raises `Problem("projection.rebuilding")`."""
    token = uuid.uuid4()
    suffix = await persist(lambda: pool.fetchval(sql(PACKAGE, "rebuild_claim"), projection, token, DEAD_SECONDS))
    if suffix is None:
        raise Problem("projection.rebuilding", f"{projection} is being rebuilt", projection=projection)
    return Claim(projection, token, suffix)


async def touch(connection: Connection, held: Claim, events: int, of_events: int) -> None:
    """Say how far it is and that it lives; inside the transaction of the batch."""
    if not await connection.fetchval(sql(PACKAGE, "rebuild_touch"), held.projection, held.token, events, of_events):
        raise ClaimLost(held.projection)


async def finish(connection: Connection, held: Claim, before: str, after: str, problem: str) -> None:
    """The tables were switched; inside the transaction that does it."""
    await connection.execute(sql(PACKAGE, "rebuild_finish"), held.projection, held.token, before, after, problem)


async def fail(pool: asyncpg.Pool, held: Claim, problem: str) -> None:
    """The rebuild has ended without a switch."""
    await pool.execute(sql(PACKAGE, "rebuild_fail"), held.projection, held.token, problem)


async def is_finished(pool: asyncpg.Pool, held: Claim) -> bool:
    """Whether the switch was committed, for one who lost the connection at that moment."""
    return bool(await pool.fetchval(sql(PACKAGE, "rebuild_is_finished"), held.projection, held.token))


async def read(pool: asyncpg.Pool, projection: str) -> Rebuilt:
    """How far the last rebuild of a projection is; `done` without events when there never was one."""
    row = await persist(lambda: pool.fetchrow(sql(PACKAGE, "rebuild_read"), projection, DEAD_SECONDS))
    if row is None:
        return Rebuilt(projection=projection, state="done")
    gone = row["state"] == "running" and row["gone"]
    return Rebuilt(
        projection=projection,
        state="failed" if gone else row["state"],
        events=row["events"],
        of_events=row["of_events"],
        seconds=round(row["seconds"], 3),
        checksum_before=row["checksum_before"],
        checksum_after=row["checksum_after"],
        problem="the instance that ran it is gone" if gone else row["problem"],
    )
