"""Versioned migrations, run by `callboard migrate` under an advisory lock; applied ones never change."""

from __future__ import annotations

import hashlib

import asyncpg
import structlog

from callboard.platform.migration_texts import migration_texts

log = structlog.get_logger()
LOCK = 0x43_61_6C_6C  # "Call"

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
        return fresh
    finally:
        await connection.close()
