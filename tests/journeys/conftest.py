from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.stack import Stack, running_stack

REPLICAS = {"one-of-each": 1, "two-of-each": 2}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a stack run on one worker, after each other."""
    for item in items:
        for name in REPLICAS:
            if f"[{name}" in item.nodeid or f"-{name}" in item.nodeid:
                item.add_marker(pytest.mark.xdist_group(name))


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=list(REPLICAS))
async def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A running Callboard; every test makes an organisation of its own in it."""
    directory = tmp_path_factory.mktemp(request.param) / "data"
    async with running_stack(directory, replicas=REPLICAS[request.param]) as running:
        yield running
