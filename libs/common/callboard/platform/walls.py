"""The wall between organisations, in Postgres: who of a room's connections sees what.

What a room does for an organisation runs on connections of the role `callboard_room`, which see the rows of that
organisation only, whatever a statement says (row-level security, `migrations/0039_walls.sql`). What it does for the
installation (following every log, relaying, sweeping, looking up a key before it is known whose it is) runs as
`callboard_keeper`. Which of both it is follows from what is being done: `bus.register` confines the handling of every
message that names an organisation, and who has to look beyond says so with `across`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import asyncpg

from callboard.platform.statements import sql

ROOM: Final = "callboard_room"
KEEPER: Final = "callboard_keeper"
GRANTED: Final = (
    f"have its owner run `create role {ROOM} nologin; create role {KEEPER} nologin; "
    f"grant {ROOM}, {KEEPER} to USER with inherit false, set true`"
)
_organisation: ContextVar[str | None] = ContextVar("organisation", default=None)


@contextmanager
def confined(organisation: str) -> Iterator[None]:
    """Within this, connections of a `WalledPool` see this organisation and nothing else; of "" there is nothing."""
    token = _organisation.set(organisation)
    try:
        yield
    finally:
        _organisation.reset(token)


def across(pool: asyncpg.Pool) -> asyncpg.Pool:
    """Connections that see every organisation, also within `confined`; each use is an exception that says why."""
    return pool.across if isinstance(pool, WalledPool) else pool


class _Connection(asyncpg.Connection):
    """Remembers which organisation its session is confined to, so that only a change costs a round trip."""

    confined_to: str | None = ""

    async def confine(self, organisation: str) -> None:
        """See this organisation from now on."""
        if self.confined_to != organisation:
            self.confined_to = None  # until the server has said that it is so
            await self.fetchval(sql("callboard.platform", "confine"), organisation)
            self.confined_to = organisation


async def _confine(connection: Any) -> None:
    """On every connection that is taken: whoever had it before, and for whom, makes no difference."""
    await connection.confine(_organisation.get() or "")


class WalledPool(asyncpg.Pool):
    """Gives connections behind the wall of the organisation that is worked for, else those of the keeper."""

    def __init__(self, across: asyncpg.Pool, dsn: str, **options: Any) -> None:
        super().__init__(
            dsn,
            connection_class=_Connection,
            record_class=asyncpg.Record,
            max_queries=50_000,
            max_inactive_connection_lifetime=300.0,
            setup=_confine,
            loop=None,
            **options,
        )
        self.across = across

    def acquire(self, *, timeout: float | None = None) -> Any:
        """A connection, for as long as the context lasts."""
        if _organisation.get() is None:
            return self.across.acquire(timeout=timeout)
        return super().acquire(timeout=timeout)

    async def close(self) -> None:
        """Wait until all are given back, and close them."""
        await self.across.close()
        await super().close()

    def terminate(self) -> None:
        """Close all at once."""
        self.across.terminate()
        super().terminate()
