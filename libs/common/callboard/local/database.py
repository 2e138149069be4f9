"""The database of a local installation: made and migrated as soon as Postgres answers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from callboard.local.data_dir import DataDirectory
from callboard.local.postgres_server import EmbeddedPostgres
from callboard.local.process import LocalServerError
from callboard.platform.bus_identity import write_private_file
from callboard.platform.migration_texts import fingerprint

DATABASE: Final = "callboard"
ROOMS: Final = "callboard_rooms"
"""The login of the services at the embedded Postgres."""
_EXTERNAL_SECONDS: Final = 60.0


class EmbeddedDatabase:
    """The database in the embedded Postgres. `ready` is the ready check of the server's process."""

    def __init__(self, server: EmbeddedPostgres, directory: DataDirectory) -> None:
        self._server = server
        self._directory = directory
        self.failure: Exception | None = None

    @property
    def dsn(self) -> str:
        """Where the rooms connect to, as a login that owns nothing. It holds the password."""
        return self._server.dsn_for(DATABASE, ROOMS, self._directory.rooms_password())

    @property
    def known_migrated(self) -> bool:
        """Whether an earlier start applied every migration of this version: the rooms need not wait then."""
        return self._server.data_dir.exists() and _remembered(self._directory) == fingerprint()

    async def ready(self) -> bool:
        """Whether the server answers and the database has every table; a failed migration is kept in `failure`."""
        if not await asyncio.to_thread(self._server.is_ready):
            return False
        from callboard.platform.postgres import UNREACHABLE

        try:
            await create(self._server.dsn)
            await migrate(self._server.dsn_for(DATABASE))
            await admit_rooms(self._server.dsn, self._directory.rooms_password())
        except UNREACHABLE:
            return False
        except Exception as error:  # whatever it is, the start has failed and must say why
            self.failure = error
            raise
        write_private_file(self._directory.migrated, fingerprint().encode())
        return True


async def create(dsn: str) -> None:
    """Make the database where there is none."""
    import asyncpg

    from callboard.platform.postgres import sql

    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        if not await connection.fetchval(sql("callboard.local", "database_exists")):
            await connection.execute(sql("callboard.local", "create_database"))
    finally:
        await connection.close()


async def admit_rooms(dsn: str, password: str) -> None:
    """Make the login of the rooms, which may act as their roles (`platform/walls.py`) and do nothing else."""
    import asyncpg

    from callboard.platform.postgres import sql

    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        async with connection.transaction():
            if not await connection.fetchval(sql("callboard.local", "rooms_exist")):
                await connection.execute(sql("callboard.local", "create_rooms"))
            # A password cannot be a parameter of this statement; ours is hexadecimal.
            await connection.execute(sql("callboard.local", "admit_rooms").replace("{password}", password))
    finally:
        await connection.close()


async def migrate(dsn: str) -> list[str]:
    """Bring the tables up to date, without the log lines that a service would write; returns what was applied."""
    import structlog

    from callboard.platform.migrate import migrate as apply_migrations

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    return await apply_migrations(dsn)


async def migrate_external(dsn: str, say: Callable[[str], None]) -> list[str]:
    """The same for a Postgres that is managed elsewhere; waits for it at most a minute."""
    from callboard.platform.postgres import UNREACHABLE

    deadline = time.monotonic() + _EXTERNAL_SECONDS
    while True:
        try:
            return await migrate(dsn)
        except UNREACHABLE as error:
            reason = str(error) or type(error).__name__
            if time.monotonic() > deadline:
                raise LocalServerError(f"the database does not answer: {reason}") from None
            say(f"waiting for Postgres ({reason})")
            await asyncio.sleep(1.0)


def _remembered(directory: DataDirectory) -> str:
    try:
        return directory.migrated.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
