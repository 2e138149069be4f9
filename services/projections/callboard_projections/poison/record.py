"""Record the event at which a projection stopped, and tell what is recorded."""

from __future__ import annotations

from collections import defaultdict

import asyncpg

from callboard.contracts.status import PoisonEvent
from callboard.platform.event_store import Connection
from callboard.platform.postgres import sql
from callboard_projections.history.projection import PACKAGE


async def record(pool: asyncpg.Pool, projection: str, organisation: str, seq: int, reason: str) -> None:
    """It was tried (again) and could not be folded; `reason` is the kind of error, which tells no content."""
    await pool.execute(sql(PACKAGE, "poison_recorded"), projection, organisation, seq, reason)


async def listed(pool: asyncpg.Pool) -> dict[str, tuple[PoisonEvent, ...]]:
    """Projection -> the events that stop it, that are skipped, and that a rebuild will try again."""
    found: defaultdict[str, list[PoisonEvent]] = defaultdict(list)
    for row in await pool.fetch(sql(PACKAGE, "poison_listed")):
        values = dict(row)
        found[values.pop("projection")].append(PoisonEvent(**values))
    return {projection: tuple(events) for projection, events in found.items()}


async def folded_by_rebuild(connection: Connection, projection: str) -> None:
    """A rebuild has folded what it was asked to try again; inside its transaction."""
    await connection.execute(sql(PACKAGE, "poison_folded"), projection)
