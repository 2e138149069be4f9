"""The connection pool: waits for its database, survives its restart, and says what fails as a `Problem`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from importlib import resources
from typing import TypeVar

import asyncpg
import structlog

from callboard.contracts.problems import Problem

log = structlog.get_logger()
Value = TypeVar("Value")

UNREACHABLE: tuple[type[BaseException], ...] = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.CannotConnectNowError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.ConnectionFailureError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what the first user of a connection gets that the server just terminated
)
"""Failures that mean "the database is away for the moment", not "the statement is wrong"."""


@cache
def sql(package: str, name: str) -> str:
    """The text of `<package>/sql/<name>.sql`."""
    return resources.files(package).joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


async def open_pool(dsn: str, size: int, *, within: float = 60.0) -> asyncpg.Pool:
    """A pool of up to `size` connections; waits for the database at most `within` seconds.

    `synchronous_commit` is set here, because an operator's or pooler's default of `off` loses acknowledged
    events in a crash.
    """
    deadline = asyncio.get_running_loop().time() + within
    while True:
        try:
            return await asyncpg.create_pool(
                dsn,
                min_size=1,
                max_size=size,
                timeout=5,
                command_timeout=60,
                reset=_as_it_is,
                server_settings={"synchronous_commit": "on", "application_name": "callboard"},
            )
        except UNREACHABLE as error:
            if asyncio.get_running_loop().time() > deadline:
                raise Problem("database.unavailable", "Postgres did not answer in time") from error
            log.info("waiting_for_postgres", reason=type(error).__name__)
            await asyncio.sleep(0.1)


async def _as_it_is(connection: asyncpg.Connection) -> None:
    """Nothing to reset, which saves a round trip per use: no statement of ours leaves anything behind in a session.

    Settings and advisory locks are those of a transaction, nobody listens, and asyncpg itself rolls back what is open.
    """


async def persist(work: Callable[[], Awaitable[Value]], *, within: float = 10.0) -> Value:
    """Run idempotent work, again and again while the database is away, at most `within` seconds."""
    deadline = asyncio.get_running_loop().time() + within
    pause = 0.05
    while True:
        try:
            return await work()
        except UNREACHABLE as error:
            if isinstance(error, ValueError):
                raise  # an argument that cannot be encoded is an InterfaceError of asyncpg too; waiting mends nothing
            if asyncio.get_running_loop().time() + pause > deadline:
                raise Problem("database.unavailable", "Postgres did not answer in time") from error
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.5)
