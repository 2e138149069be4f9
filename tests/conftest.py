"""What the tests of several rooms share: one Postgres for each worker, with a database for each test."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
import pytest_asyncio

from tests.support.databases import Databases, running_databases


def pytest_configure() -> None:
    """A shell starts what is in the background with Ctrl-C ignored, and all that a test starts would inherit that."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-size", action="store_true", help="all journeys with one of each service as well")


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    with running_databases(tmp_path_factory.mktemp("pg")) as running:
        yield running


@pytest_asyncio.fixture
async def dsn(databases: Databases) -> str:
    """A migrated database."""
    return await databases.migrated()
