"""Versioned migrations, run by `callboard migrate` under an advisory lock; applied ones never change."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib

import asyncpg
import structlog

from callboard.contracts.problems import Problem
from callboard.platform.migration_texts import migration_texts
from callboard.platform.postgres import persist, sql
from callboard.platform.settings import SettingsRefused
from callboard.platform.walls import GRANTED, KEEPER, ROOM

log = structlog.get_logger()
LOCK = 0x43_61_6C_6C  # "Call"
_HERE = "callboard.platform"
_WAIT_SECONDS = 60.0
_PAUSE = 0.1

_BOOTSTRAP = """
create schema if not exists cb;
create table if not exists cb.migration (
  name text primary key, sha256 text not null, applied_at timestamptz not null default now()
);
"""


class MigrationAltered(Exception):
    """A migration that was applied has another text now."""


async def migrate(dsn: str) -> list[str]:
    """Apply what is missing, each in a transaction; returns the names applied now."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await connection.execute("select pg_advisory_lock($1)", LOCK)
        await connection.execute(_BOOTSTRAP)
        rows = await connection.fetch("select name, sha256 from cb.migration")
        applied: dict[str, str] = {row["name"]: row["sha256"] for row in rows}
        await _make_roles(connection)
        fresh = []
        for name, text in migration_texts().items():
            checksum = hashlib.sha256(text.encode()).hexdigest()
            if name in applied:
                if applied[name] != checksum:
                    raise MigrationAltered(f"{name} was applied with another text; add a new migration instead")
                continue
            async with connection.transaction():
                await connection.execute(text)
                await connection.execute("insert into cb.migration (name, sha256) values ($1, $2)", name, checksum)
            fresh.append(name)
            log.info("migration_applied", name=name)
        await connection.execute(sql(_HERE, "raise_walls"))
        return fresh
    finally:
        await connection.close()


async def _make_roles(connection: asyncpg.Connection) -> None:
    """The roles that rooms act as, which this user must be able to become; raises `SettingsRefused`.

    They belong to the server and not to the database, so another database may be making them now.
    """
    roles = [ROOM, KEEPER]
    try:
        for row in await connection.fetch(sql(_HERE, "roles_missing"), roles):
            with contextlib.suppress(asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
                await connection.execute(sql(_HERE, "role_make").replace("{role}", row["role"]))
        for row in await connection.fetch(sql(_HERE, "roles_not_ours"), roles):
            await connection.execute(sql(_HERE, "role_take").replace("{role}", row["role"]))
    except asyncpg.InsufficientPrivilegeError:
        raise SettingsRefused(f"CALLBOARD_DATABASE_URL: its user may not make roles; {GRANTED}") from None
    if passing := await connection.fetch(sql(_HERE, "roles_that_pass"), roles):
        names = ", ".join(row["rolname"] for row in passing)
        raise SettingsRefused(f"the roles {names} pass by row-level security: they must be nosuperuser nobypassrls")


async def wait_for_migrations(pool: asyncpg.Pool) -> None:
    """Until the database has all that this release knows: `callboard migrate` may run at the same time.

    Raises `database.unavailable` when it takes too long.
    """
    wanted = set(migration_texts())
    deadline = asyncio.get_running_loop().time() + _WAIT_SECONDS
    while not wanted <= await _applied(pool):
        if asyncio.get_running_loop().time() > deadline:
            raise Problem("database.unavailable", "the database is not migrated; run `callboard migrate`")
        log.info("waiting_for_migrations")
        await asyncio.sleep(_PAUSE)


async def _applied(pool: asyncpg.Pool) -> set[str]:
    try:
        rows = await persist(lambda: pool.fetch(sql(_HERE, "migrations_applied")))
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError, asyncpg.InsufficientPrivilegeError):
        return set()
    return {row["name"] for row in rows}
