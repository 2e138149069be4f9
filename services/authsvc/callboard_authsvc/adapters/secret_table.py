"""The tables `cb.secret` and `cb.data_key`: sealed values and wrapped keys, nothing that opens them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import asyncpg
import msgspec

from callboard.platform.event_store import Connection
from callboard.platform.postgres import persist, sql

_PACKAGE = "callboard_authsvc"


class SealedSecret(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a secret as stored."""

    organisation: str
    secret: str
    version: int
    nonce: bytes
    ciphertext: bytes
    stored_at: datetime
    key_version: int = 1


class DataKeyRow(msgspec.Struct, frozen=True):
    """A wrapped data key; `key_id` is that of what wrapped it."""

    organisation: str
    version: int
    key_id: str
    wrapped: bytes


KEPT_SECONDS = 3600.0
"""How long an old data key stays at least: somebody may just be sealing under it."""


class SecretTable:
    """Reads wait for a database that restarts; writes happen in the caller's transaction."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def insert(self, connection: Connection, row: SealedSecret) -> None:
        """Add a version."""
        columns = (row.organisation, row.secret, row.version, row.nonce, row.ciphertext, row.stored_at, row.key_version)
        await connection.execute(sql(_PACKAGE, "insert_secret"), *columns)

    async def delete(self, connection: Connection, organisation: str, secret: str) -> None:
        """Delete every version."""
        await connection.execute(sql(_PACKAGE, "delete_secret"), organisation, secret)

    async def newest(self, organisation: str, secrets: Sequence[str]) -> list[SealedSecret]:
        """The newest version of each of these secrets that there is."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "newest_secrets"), organisation, secrets))
        return [secret_of_row(row) for row in rows]

    async def names(self, organisation: str) -> list[tuple[str, int, datetime]]:
        """Name, newest version and its time, by name."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "list_secrets"), organisation))
        return [(row["secret"], row["version"], row["stored_at"]) for row in rows]

    async def data_key(self, organisation: str, version: int | None = None) -> DataKeyRow | None:
        """This version, or the newest."""
        text = sql(_PACKAGE, "find_data_key")
        row = await persist(lambda: self._pool.fetchrow(text, organisation, version))
        return None if row is None else DataKeyRow(organisation, row["version"], row["kek_id"], bytes(row["wrapped"]))

    async def add_data_key(self, row: DataKeyRow) -> None:
        """Keep this one, unless there is one already."""
        values = (row.organisation, row.version, row.key_id, row.wrapped)
        await persist(lambda: self._pool.execute(sql(_PACKAGE, "insert_data_key"), *values))

    async def replace_data_key(self, connection: Connection, row: DataKeyRow) -> None:
        """Make this the newest, in the caller's transaction."""
        values = (row.organisation, row.version, row.key_id, row.wrapped)
        await connection.execute(sql(_PACKAGE, "insert_data_key"), *values)
        await connection.execute(sql(_PACKAGE, "retire_data_keys"), row.organisation, row.version)

    async def data_keys_to_rewrap(self, key_id: str) -> list[DataKeyRow]:
        """All that something else than this wrapped."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "data_keys_to_rewrap"), key_id))
        return [DataKeyRow(r["organisation"], r["version"], r["kek_id"], bytes(r["wrapped"])) for r in rows]

    async def rewrap(self, row: DataKeyRow, key_id: str, wrapped: bytes) -> None:
        """The same key, wrapped anew; nothing happens when somebody else did it."""
        values = (row.organisation, row.version, row.wrapped, key_id, wrapped)
        await persist(lambda: self._pool.execute(sql(_PACKAGE, "rewrap_data_key"), *values))

    async def secrets_to_reseal(self, organisation: str, newest: int) -> list[SealedSecret]:
        """Some of the versions of secrets that are sealed under an older data key."""
        text = sql(_PACKAGE, "secrets_to_reseal")
        return [secret_of_row(row) for row in await persist(lambda: self._pool.fetch(text, organisation, newest))]

    async def reseal(self, row: SealedSecret, nonce: bytes, ciphertext: bytes, key_version: int) -> None:
        """The same value, sealed anew; nothing happens when somebody else did it."""
        values = (row.organisation, row.secret, row.version, row.key_version, nonce, ciphertext, key_version)
        await persist(lambda: self._pool.execute(sql(_PACKAGE, "reseal_secret"), *values))

    async def organisations_with_old_keys(self) -> list[str]:
        """Where a rotation may not be finished."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "organisations_with_old_keys")))
        return [row["organisation"] for row in rows]

    async def drop_unused_keys(self, organisation: str) -> None:
        """Delete old data keys under which nothing is sealed any more."""
        text = sql(_PACKAGE, "delete_unused_data_keys")
        await persist(lambda: self._pool.execute(text, organisation, KEPT_SECONDS))

    async def shred(self, connection: Connection, organisation: str) -> None:
        """Delete all keys, and all that is sealed, in the caller's transaction."""
        await connection.execute(sql(_PACKAGE, "shred_vault"), organisation)

    async def wrapping_keys(self) -> set[str]:
        """The ids of all keys that wrapped a data key."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "wrapping_keys")))
        return {row["kek_id"] for row in rows}


def secret_of_row(row: asyncpg.Record) -> SealedSecret:
    """A row of `cb.secret`."""
    return SealedSecret(
        organisation=row["organisation"],
        secret=row["secret"],
        version=row["version"],
        nonce=bytes(row["nonce"]),
        ciphertext=bytes(row["ciphertext"]),
        stored_at=row["stored_at"],
        key_version=row["key_version"],
    )
