"""One Postgres for all tests of the room, with a database for each; a NATS for each test that asks for one."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from callboard.local.postgres_server import EmbeddedPostgres
from callboard.platform.migrate import migrate
from tests.projections.stack import Log, Stack
from tests.support.backends import nats_server, postgres_server

_numbers = itertools.count(1)
_TEMPLATE = "migrated"


async def _run(server: EmbeddedPostgres, statement: str) -> None:
    connection = await asyncpg.connect(server.dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def projections_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with postgres_server(tmp_path_factory.mktemp("pg")) as server:
        asyncio.run(_run(server, f"create database {_TEMPLATE}"))
        asyncio.run(migrate(server.dsn_for(_TEMPLATE)))
        yield server
        server.kill()  # an orderly end would write out the databases of all tests


@pytest_asyncio.fixture
async def dsn(projections_postgres: EmbeddedPostgres) -> str:
    name = f"t{next(_numbers)}"
    await _run(projections_postgres, f"create database {name} template {_TEMPLATE}")
    return projections_postgres.dsn_for(name)


@pytest_asyncio.fixture
async def log(dsn: str) -> AsyncIterator[Log]:
    """The event log alone, without a bus."""
    async with asyncpg.create_pool(dsn, min_size=1, max_size=12) as pool:
        yield Log(pool)


@pytest_asyncio.fixture
async def stack(tmp_path: Path, dsn: str) -> AsyncIterator[Stack]:
    with nats_server(tmp_path) as nats:
        running = Stack(tmp_path, nats, dsn)
        try:
            await running.open()
            yield running
        finally:
            await running.close()
