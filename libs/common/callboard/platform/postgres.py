"""The connection pool: waits for its database, survives its restart, and says what fails as a `Problem`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg
import structlog

from callboard.contracts.problems import Problem
from callboard.platform.settings import SettingsRefused
from callboard.platform.statements import sql as sql
from callboard.platform.walls import GRANTED, KEEPER, ROOM, WalledPool

log = structlog.get_logger()
Value = TypeVar("Value")
Opened = Callable[[Any], Awaitable[None]]

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

_NO_ROLES: tuple[type[BaseException], ...] = (asyncpg.InvalidParameterValueError, asyncpg.InsufficientPrivilegeError)
"""The roles are not there yet (`callboard migrate` may run at the same time), or not for this user."""


async def open_pool(dsn: str, size: int, *, within: float = 60.0, opened: Opened | None = None) -> WalledPool:
    """The connections of a room, about `size`; waits for the database at most `within` seconds.

    `opened` is called with each new connection, before it is used.
    Raises `SettingsRefused` when the user of `dsn` may not act as the roles behind the walls (`migrate`).
    """
    deadline = asyncio.get_running_loop().time() + within
    while True:
        try:
            return await _opened(dsn, max(2, (size + 1) // 2), opened)
        except (*UNREACHABLE, *_NO_ROLES) as error:
            if asyncio.get_running_loop().time() > deadline:
                if isinstance(error, _NO_ROLES):
                    raise SettingsRefused(f"CALLBOARD_DATABASE_URL: {error}; {GRANTED}") from None
                raise Problem("database.unavailable", "Postgres did not answer in time") from error
            log.info("waiting_for_postgres", reason=type(error).__name__)
            await asyncio.sleep(0.1)


async def _opened(dsn: str, size: int, opened: Opened | None) -> WalledPool:
    across = await asyncpg.create_pool(dsn, **_options(KEEPER, size, opened))
    try:
        return await WalledPool(across, dsn, **_options(ROOM, size, opened))
    except BaseException:
        across.terminate()
        raise


def _options(role: str, size: int, opened: Opened | None) -> dict[str, Any]:
    """`synchronous_commit` is set because an operator's or pooler's default of `off` loses acknowledged events."""
    return {
        "min_size": 1,
        "max_size": size,
        "timeout": 5,
        "command_timeout": 60,
        "init": opened,
        "reset": _as_it_is,
        "server_settings": {"role": role, "synchronous_commit": "on", "application_name": "callboard"},
    }


async def _as_it_is(connection: asyncpg.Connection) -> None:
    """Nothing to reset, which saves a round trip per use: no statement of ours leaves anything behind in a session.

    Advisory locks are those of a transaction, nobody listens, and asyncpg itself rolls back what is open. The setting
    `callboard.organisation` of a session is made right whenever a connection is taken (`WalledPool`).
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
