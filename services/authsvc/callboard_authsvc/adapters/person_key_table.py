"""The table `cb.person_key`, and the tokens of a person: wrapped keys and sealed names, nothing that opens them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import asyncpg
import msgspec

from callboard.platform.event_store import Connection
from callboard.platform.postgres import persist, sql

_PACKAGE = "callboard_authsvc"


class PersonKeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """One person as stored; without key and name once erased."""

    person: str
    kek_id: str | None
    wrapped: bytes | None
    name: str
    known_since: datetime
    erased_at: datetime | None = None

    def __repr__(self) -> str:
        return f"PersonKeyRow(person={self.person!r})"


class PersonKeyTable:
    """Reads wait for a database that restarts; erasing happens in the caller's transaction."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def find(self, organisation: str, persons: Collection[str], name_tag: bytes = b"") -> list[PersonKeyRow]:
        """Those of these ids, and the one of this name."""
        wanted = (organisation, list(persons), name_tag)
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "find_person_keys"), *wanted))
        return [_row(row) for row in rows]

    async def of_organisation(self, organisation: str) -> list[PersonKeyRow]:
        """All of them, erased ones included, in the order in which they became known."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "list_person_keys"), organisation))
        return [_row(row) for row in rows]

    async def add(self, organisation: str, row: PersonKeyRow, name_tag: bytes) -> None:
        """Keep this one, unless there is one of this name."""
        values = (organisation, row.person, row.kek_id, row.wrapped, name_tag, row.name, row.known_since)
        await persist(lambda: self._pool.execute(sql(_PACKAGE, "insert_person_key"), *values))

    async def hold(self, connection: Connection, organisation: str, person: str) -> bool:
        """Keep the person from being erased until the end of the transaction; False: that has happened."""
        return bool(await connection.fetchval(sql(_PACKAGE, "hold_person_key"), organisation, person))

    async def erase(self, connection: Connection, organisation: str, person: str, now: datetime) -> None:
        """Destroy key and name, delete what they signed in to upstream, and revoke the tokens."""
        await connection.execute(sql(_PACKAGE, "erase_grants"), organisation, person)
        for statement in ("erase_person_key", "revoke_tokens_of_person"):
            await connection.execute(sql(_PACKAGE, statement), organisation, person, now)

    async def to_rewrap(self, key_id: str) -> list[tuple[str, PersonKeyRow]]:
        """All keys that something else than this wrapped, each with its organisation."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "person_keys_to_rewrap"), key_id))
        return [(row["organisation"], _row(row)) for row in rows]

    async def rewrap(self, organisation: str, row: PersonKeyRow, key_id: str, wrapped: bytes) -> None:
        """The same key, wrapped anew; nothing happens when it was erased meanwhile, or somebody else did it."""
        values = (organisation, row.person, row.wrapped, key_id, wrapped)
        await persist(lambda: self._pool.execute(sql(_PACKAGE, "rewrap_person_key"), *values))

    async def tokens_of(self, organisation: str, person: str) -> list[str]:
        """The key ids of a person's tokens."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "tokens_of_person"), organisation, person))
        return [row["key_id"] for row in rows]


def _row(row: asyncpg.Record) -> PersonKeyRow:
    return PersonKeyRow(
        person=row["person"],
        kek_id=row["kek_id"],
        wrapped=None if row["wrapped"] is None else bytes(row["wrapped"]),
        name=row["name"],
        known_since=row["known_since"],
        erased_at=row["erased_at"],
    )
