"""All connections of this edge: those of a revoked token end, and all of them when the edge stops."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from callboard.contracts.problems import Problem
from callboard_edge.mcp.connection import NOT_ADMITTED, RESTARTS, Connection

AUTH = ("auth.required", "auth.invalid", "auth.forbidden")


class Connections:
    """The registry; the carriers enter what they open."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        self._draining = False
        self._doubting: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._open)

    def all(self) -> Iterator[Connection]:
        """Every open connection."""
        yield from self._open

    def check_open(self) -> None:
        """Raise while the edge stops."""
        if self._draining:
            raise Problem("bus.unavailable", "this gateway restarts; connect again")

    @contextmanager
    def entered(self, connection: Connection) -> Iterator[None]:
        """For as long as the connection is open."""
        self._open.add(connection)
        try:
            yield
        finally:
            self._open.discard(connection)

    def close_key(self, key_id: str) -> None:
        """A token was revoked."""
        for connection in self._open:
            if connection.principal.key_id == key_id:
                connection.end(NOT_ADMITTED)

    async def doubt_all(self) -> None:
        """The bus was away, and a revocation may have been missed: look at every token again, in the background."""
        self._doubting = asyncio.create_task(self._look_at_all())

    async def _look_at_all(self) -> None:
        for connection in list(self._open):
            try:
                await connection.admit()
            except Problem as problem:
                if problem.code in AUTH:
                    connection.end(NOT_ADMITTED)

    async def drain(self) -> None:
        """The edge stops: nothing new is taken, what is under way may end, then all close and may connect elsewhere."""
        self._draining = True
        for connection in self._open:
            connection.end(RESTARTS)
        await asyncio.gather(*(connection.stop() for connection in self._open))
