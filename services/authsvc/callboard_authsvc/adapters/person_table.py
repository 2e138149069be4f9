"""The table `cb.person`: the only place, with `cb.invitation`, where personal data of users stands."""

from __future__ import annotations

from datetime import datetime

import asyncpg
import msgspec

from callboard.platform.event_store import Connection
from callboard.platform.postgres import persist, sql
from callboard.platform.walls import across

_PACKAGE = "callboard_authsvc"


class PersonRow(msgspec.Struct, frozen=True, kw_only=True):
    """One person; `password` is an encoded argon2id hash, None where no password opens a session."""

    person: str
    email: str
    name: str = ""
    password: str | None = None
    administers: bool = False

    def __repr__(self) -> str:
        return f"PersonRow({self.person!r})"


class PersonTable:
    """Reads wait for a database that restarts."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = across(pool)  # persons belong to no organisation

    async def insert(self, connection: Connection, row: PersonRow, now: datetime) -> bool:
        """Add a person; False when the e-mail address or the id is somebody's already."""
        columns = (row.person, row.email, row.name, row.password, row.administers, now)
        return await connection.fetchval(sql(_PACKAGE, "insert_person"), *columns) is not None

    async def by_email(self, email: str) -> PersonRow | None:
        """The person with this address, which is in lower case."""
        return await self._one("person_by_email", email)

    async def by_id(self, person: str) -> PersonRow | None:
        """The person with this id."""
        return await self._one("person_by_id", person)

    async def set_password(self, connection: Connection, person: str, password: str) -> None:
        """Replace the hash."""
        await connection.execute(sql(_PACKAGE, "set_password"), person, password)

    async def _one(self, statement: str, key: str) -> PersonRow | None:
        row = await persist(lambda: self.pool.fetchrow(sql(_PACKAGE, statement), key))
        return None if row is None else msgspec.convert(dict(row), PersonRow)
