"""The table `cb.signing_key`: public keys and wrapped private ones, nothing that opens them."""

from __future__ import annotations

import asyncpg

from callboard.platform.event_store import Connection
from callboard.platform.postgres import persist, sql
from callboard_authsvc.signing.domain import Key
from callboard_authsvc.signing.material import KeyRow

_PACKAGE = "callboard_authsvc"


class SigningKeyTable:
    """Reads wait for a database that restarts; the set changes in the caller's transaction."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def all(self) -> list[tuple[Key, KeyRow]]:
        """The public set, in the order in which the keys sign."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "signing_keys")))
        return [(Key(row["kid"], row["signs_from"]), _row(row)) for row in rows]

    async def insert(self, connection: Connection, key: Key, row: KeyRow) -> None:
        """Add a key to the set."""
        values = (row.kid, row.x, row.y, row.kek_id, row.wrapped, key.signs_from)
        await connection.execute(sql(_PACKAGE, "insert_signing_key"), *values)

    async def delete(self, connection: Connection, kid: str) -> None:
        """Take a key out of the set, and destroy its private half."""
        await connection.execute(sql(_PACKAGE, "delete_signing_key"), kid)

    async def rewrap(self, row: KeyRow, kek_id: str, wrapped: bytes) -> None:
        """The same key, wrapped anew; nothing happens when somebody else did it."""
        values = (row.kid, row.wrapped, kek_id, wrapped)
        await persist(lambda: self._pool.execute(sql(_PACKAGE, "rewrap_signing_key"), *values))


def _row(row: asyncpg.Record) -> KeyRow:
    return KeyRow(kid=row["kid"], x=row["x"], y=row["y"], kek_id=row["kek_id"], wrapped=bytes(row["wrapped"]))
