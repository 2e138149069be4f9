from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from tests.support.shared import Shared
from tests.support.stack import Stack, running_stack

REPLICAS = {"one-of-each": 1, "two-of-each": 2}
# Every journey runs where two of each service take turns, which is the harder place. These run with one of each as
# well; `--every-size` lets all of them.
ALSO_WITH_ONE = {"test_inspector"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The tests of a file run on one worker, after each other; some of them with one size only."""
    left_out = []
    for item in [item for item in items if "stack" in getattr(item, "fixturenames", ())]:
        module = item.path.stem
        if item.path.parent.name != "journeys":
            continue
        item.add_marker(pytest.mark.xdist_group(f"journeys-{module}"))
        if "one-of-each" in item.name and module not in ALSO_WITH_ONE and not config.getoption("--every-size"):
            left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


class Stacks:
    """The installations of one worker, each started when the first test wants it."""

    def __init__(self, leaving: AsyncExitStack, places: pytest.TempPathFactory) -> None:
        self._leaving = leaving
        self._places = places
        self._running: dict[str, Stack] = {}

    async def of(self, size: str) -> Stack:
        if size not in self._running:
            directory = self._places.mktemp(size) / "data"
            running = running_stack(directory, replicas=REPLICAS[size])
            self._running[size] = await self._leaving.enter_async_context(running)
        return self._running[size]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared() -> AsyncIterator[Shared]:
    async with AsyncExitStack() as leaving:
        yield Shared(leaving)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stacks(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stacks]:
    async with AsyncExitStack() as leaving:
        yield Stacks(leaving, tmp_path_factory)


@pytest_asyncio.fixture(loop_scope="session", params=list(REPLICAS))
async def stack(request: pytest.FixtureRequest, stacks: Stacks) -> Stack:
    """A running Callboard; every test makes an organisation of its own in it."""
    return await stacks.of(request.param)
