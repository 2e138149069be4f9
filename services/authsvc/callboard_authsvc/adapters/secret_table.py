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


class SecretTable:
    """Reads wait for a database that restarts; writes happen in the caller's transaction."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def insert(self, connection: Connection, row: SealedSecret) -> None:
        """Add a version."""
        columns = (row.organisation, row.secret, row.version, row.nonce, row.ciphertext, row.stored_at)
        await connection.execute(sql(_PACKAGE, "insert_secret"), *columns)

    async def delete(self, connection: Connection, organisation: str, secret: str) -> None:
        """Delete every version."""
        await connection.execute(sql(_PACKAGE, "delete_secret"), organisation, secret)

    async def newest(self, organisation: str, secrets: Sequence[str]) -> list[SealedSecret]:
        """The newest version of each of these secrets that there is."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "newest_secrets"), organisation, secrets))
        return [
            SealedSecret(
                organisation=row["organisation"],
                secret=row["secret"],
                version=row["version"],
                nonce=bytes(row["nonce"]),
                ciphertext=bytes(row["ciphertext"]),
                stored_at=row["stored_at"],
            )
            for row in rows
        ]

    async def names(self, organisation: str) -> list[tuple[str, int, datetime]]:
        """Name, newest version and its time, by name."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "list_secrets"), organisation))
        return [(row["secret"], row["version"], row["stored_at"]) for row in rows]

    async def data_key(self, organisation: str) -> tuple[str, bytes] | None:
        """The id of the wrapping key, and the wrapped key."""
        row = await persist(lambda: self._pool.fetchrow(sql(_PACKAGE, "find_data_key"), organisation))
        return None if row is None else (row["kek_id"], bytes(row["wrapped"]))

    async def add_data_key(self, organisation: str, key_id: str, wrapped: bytes) -> None:
        """Keep this one, unless there is one already."""
        await persist(lambda: self._pool.execute(sql(_PACKAGE, "insert_data_key"), organisation, key_id, wrapped))

    async def wrapping_keys(self) -> set[str]:
        """The ids of all keys that wrapped a data key."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "wrapping_keys")))
        return {row["kek_id"] for row in rows}
