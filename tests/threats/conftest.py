"""A NATS for each test that needs one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.authsvc.stack import Stack
from tests.support.backends import nats_server


@pytest_asyncio.fixture
async def stack(tmp_path: Path, dsn: str) -> AsyncIterator[Stack]:
    with nats_server(tmp_path) as nats:
        running = Stack(tmp_path, nats, dsn)
        try:
            yield running
        finally:
            await running.close()
