"""One Postgres for all tests of the room, with a database for each; a NATS for each test."""

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
from tests.authsvc.stack import Edge, Stack
from tests.support.backends import nats_server, postgres_server

_numbers = itertools.count(1)
_TEMPLATE = "migrated"


async def _create(server: EmbeddedPostgres, statement: str) -> None:
    connection = await asyncpg.connect(server.dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def authsvc_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with postgres_server(tmp_path_factory.mktemp("pg")) as server:
        asyncio.run(_create(server, f"create database {_TEMPLATE}"))
        asyncio.run(migrate(server.dsn_for(_TEMPLATE)))
        yield server


@pytest_asyncio.fixture
async def dsn(authsvc_postgres: EmbeddedPostgres) -> str:
    name = f"t{next(_numbers)}"
    await _create(authsvc_postgres, f"create database {name} template {_TEMPLATE}")
    return authsvc_postgres.dsn_for(name)


@pytest_asyncio.fixture
async def stack(tmp_path: Path, dsn: str) -> AsyncIterator[Stack]:
    with nats_server(tmp_path) as nats:
        running = Stack(tmp_path, nats, dsn)
        try:
            yield running
        finally:
            await running.close()


@pytest_asyncio.fixture
async def edge(stack: Stack) -> Edge:
    """The edge, with an authsvc running and the organisation `acme`."""
    await stack.authsvc()
    asking = Edge(await stack.bus_of("edge"))
    await asking.create("acme")
    return asking
