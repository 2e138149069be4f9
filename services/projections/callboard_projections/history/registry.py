"""All projections of the log, and their first tables."""

from __future__ import annotations

import asyncpg

from callboard.platform.postgres import sql
from callboard_projections.history.assignments import ASSIGNMENTS
from callboard_projections.history.definitions import DEFINITIONS
from callboard_projections.history.organisations import ORGANISATIONS
from callboard_projections.history.playbooks import PLAYBOOKS
from callboard_projections.history.projection import PACKAGE, Projection
from callboard_projections.history.servers import SERVERS

PROJECTIONS: tuple[Projection, ...] = (ORGANISATIONS, PLAYBOOKS, SERVERS, DEFINITIONS, ASSIGNMENTS)

FIRST_SUFFIX = 1


async def establish(pool: asyncpg.Pool, projections: tuple[Projection, ...]) -> list[Projection]:
    """Make the tables of projections that have none yet; returns those whose live tables have another layout."""
    outdated = []
    for projection in projections:
        async with pool.acquire() as connection, connection.transaction():
            values = (projection.name, FIRST_SUFFIX, projection.layout)
            # Of several instances that start at once, one inserts and the others wait here for its commit.
            if await connection.fetchval(sql(PACKAGE, "projection_registered"), *values):
                await projection.make_tables(connection, FIRST_SUFFIX)
                await projection.show(connection, FIRST_SUFFIX)
            live = await connection.fetchrow(sql(PACKAGE, "projection_live"), projection.name)
            if live is not None and live["layout"] != projection.layout:
                outdated.append(projection)
    return outdated
