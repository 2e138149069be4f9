"""The table `cb.login_session`: sessions of persons, of whose values only a verifier is stored."""

from __future__ import annotations

from datetime import datetime

import asyncpg
import msgspec

from callboard.platform.event_store import Connection
from callboard.platform.postgres import persist, sql
from callboard.platform.walls import across
from callboard_authsvc.adapters.person_table import PersonRow

_PACKAGE = "callboard_authsvc"


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One session with its person."""

    key_id: str
    verifier: bytes
    person: PersonRow
    seen_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None

    def __repr__(self) -> str:
        return f"SessionRow({self.key_id!r})"


class SessionTable:
    """Reads wait for a database that restarts; what `connection` is given to happens in the caller's transaction."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = across(pool)  # sessions are those of persons, who belong to no organisation

    async def insert(self, key_id: str, verifier: bytes, person: str, now: datetime, expires_at: datetime) -> None:
        """Open a session, and forget those that expired."""
        await persist(
            lambda: self._pool.execute(sql(_PACKAGE, "insert_session"), key_id, verifier, person, now, expires_at)
        )
        await persist(lambda: self._pool.execute(sql(_PACKAGE, "forget_sessions"), now))

    async def find(self, key_id: str) -> SessionRow | None:
        """The session with this id."""
        row = await persist(lambda: self._pool.fetchrow(sql(_PACKAGE, "find_session"), key_id))
        if row is None:
            return None
        return SessionRow(
            key_id=row["key_id"],
            verifier=bytes(row["verifier"]),
            person=PersonRow(
                person=row["person"], email=row["email"], name=row["name"], administers=row["administers"]
            ),
            seen_at=row["seen_at"],
            expires_at=row["expires_at"],
            ended_at=row["ended_at"],
        )

    async def touch(self, key_id: str, now: datetime) -> None:
        """It was used."""
        await persist(lambda: self._pool.execute(sql(_PACKAGE, "touch_session"), key_id, now))

    async def end(self, key_id: str, now: datetime) -> list[str]:
        """End this one; its id, unless it had ended."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "end_session"), key_id, now))
        return [row["key_id"] for row in rows]

    async def end_all(self, connection: Connection, person: str, now: datetime) -> list[str]:
        """End all of a person; their ids."""
        rows = await connection.fetch(sql(_PACKAGE, "end_sessions_of_person"), person, now)
        return [row["key_id"] for row in rows]

    async def ended_since(self, since: datetime) -> list[str]:
        """Ids of the sessions that ended from `since` on."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "sessions_ended_since"), since))
        return [row["key_id"] for row in rows]
