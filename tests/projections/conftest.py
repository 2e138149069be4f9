"""A NATS for each test of the room that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest_asyncio

from tests.projections.stack import Log, Stack
from tests.support.backends import nats_server


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
