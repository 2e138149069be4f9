"""A rig for each test of the room."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.connectors.rig import Rig
from tests.support.backends import nats_server


@pytest_asyncio.fixture
async def rig(tmp_path: Path, dsn: str) -> AsyncIterator[Rig]:
    with nats_server(tmp_path) as nats:
        running = Rig(tmp_path, nats, dsn)
        try:
            await running.open()
            yield running
        finally:
            await running.close()
