"""The database of a local installation: made and migrated as soon as Postgres answers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

import msgspec

from callboard.local import errands
from callboard.local.data_dir import DataDirectory
from callboard.local.postgres_server import EmbeddedPostgres
from callboard.local.process import LocalServerError
from callboard.platform.bus_identity import write_private_file
from callboard.platform.migration_texts import fingerprint

DATABASE: Final = "callboard"
ROOMS: Final = "callboard_rooms"
"""The login of the services at the embedded Postgres."""
_EXTERNAL_SECONDS: Final = 60.0


class Preparation(msgspec.Struct, frozen=True, kw_only=True):
    """What to prepare: the server and the database in it, as superuser, and the password of the rooms' login."""

    server: str
    database: str
    rooms_password: str

    def __repr__(self) -> str:
        return "Preparation(...)"


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """Whether everything is there; `failure` says what cannot be put right by trying again."""

    done: bool = False
    failure: str = ""


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
        order = Preparation(
            server=self._server.dsn,
            database=self._server.dsn_for(DATABASE),
            rooms_password=self._directory.rooms_password(),
        )
        try:
            prepared = await errands.send("callboard.local.database", order, Prepared)
            if prepared.failure:
                raise LocalServerError(prepared.failure)
        except (errands.ErrandFailed, LocalServerError) as error:
            self.failure = error
            raise
        if prepared.done:
            write_private_file(self._directory.migrated, fingerprint().encode())
        return prepared.done


async def _prepare(order: Preparation) -> Prepared:
    from callboard.platform.postgres import UNREACHABLE

    try:
        await create(order.server)
        await migrate(order.database)
        await admit_rooms(order.server, order.rooms_password)
    except UNREACHABLE:
        return Prepared()
    except Exception as error:  # whatever it is, the start has failed and must say why
        return Prepared(failure=str(error) or type(error).__name__)
    return Prepared(done=True)


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


if __name__ == "__main__":
    errands.carry_out(Preparation, lambda order: asyncio.run(_prepare(order)))
