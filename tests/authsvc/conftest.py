"""A NATS for each test of the room."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.authsvc.stack import Edge, Stack
from tests.support.backends import nats_server


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
