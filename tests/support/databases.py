"""A Postgres with a migrated database for each test that asks."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg

from callboard.platform.migrate import migrate
from tests.support.backends import postgres_server

_TEMPLATE = "migrated"


class Databases:
    """Makes databases on one server; each is new, and migrated unless it is asked to be empty."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self._template_made = False

    async def migrated(self) -> str:
        """The DSN of a new database with all migrations."""
        if not self._template_made:
            await self._execute(f"create database {_TEMPLATE}")
            await migrate(self._server.dsn_for(_TEMPLATE))
            self._template_made = True
        return await self._create(f"template {_TEMPLATE}")

    async def empty(self) -> str:
        """The DSN of a new database without anything."""
        return await self._create("")

    async def _create(self, how: str) -> str:
        name = f"t{next(self._numbers)}"
        await self._execute(f"create database {name} {how}")
        return str(self._server.dsn_for(name))

    async def _execute(self, statement: str) -> None:
        async with connected(self._server.dsn) as connection:
            await connection.execute(statement)


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """One connection, closed at the end."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


@contextmanager
def running_databases(directory: Path) -> Iterator[Databases]:
    """A server of its own, ended at the end."""
    with postgres_server(directory) as server:
        yield Databases(server)
        server.kill()  # an orderly end would write out the databases of all tests
