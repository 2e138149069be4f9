"""The tables `cb.invitation` and `cb.password_reset`: links that work once, of which only a verifier is stored."""

from __future__ import annotations

from datetime import datetime

import asyncpg
import msgspec

from callboard.platform.event_store import Connection
from callboard.platform.postgres import persist, sql
from callboard.platform.walls import across

_PACKAGE = "callboard_authsvc"


class InvitationRow(msgspec.Struct, frozen=True, kw_only=True):
    """One invitation as stored; `email`: the only one that may use it, if any."""

    invitation: str
    organisation: str
    verifier: bytes
    expires_at: datetime
    email: str = ""
    ended_at: datetime | None = None

    def __repr__(self) -> str:
        return f"InvitationRow({self.invitation!r})"


class ResetRow(msgspec.Struct, frozen=True, kw_only=True):
    """One offer to set another password."""

    key_id: str
    verifier: bytes
    person: str
    expires_at: datetime
    used_at: datetime | None = None


class LinkTable:
    """Reads wait for a database that restarts."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._across = across(pool)  # a link says whose it is only when it is found

    async def insert_invitation(self, connection: Connection, row: InvitationRow) -> None:
        """Add an invitation."""
        columns = (row.invitation, row.organisation, row.verifier, row.email, row.expires_at)
        await connection.execute(sql(_PACKAGE, "insert_invitation"), *columns)

    async def end_invitation(self, connection: Connection, organisation: str, invitation: str, now: datetime) -> None:
        """It was used or withdrawn; the e-mail address in it is forgotten."""
        await connection.execute(sql(_PACKAGE, "end_invitation"), organisation, invitation, now)

    async def find_invitation(self, invitation: str) -> InvitationRow | None:
        """The invitation with this id."""
        row = await persist(lambda: self._across.fetchrow(sql(_PACKAGE, "find_invitation"), invitation))
        return None if row is None else msgspec.convert(dict(row), InvitationRow)

    async def emails_of_open(self, organisation: str, now: datetime) -> dict[str, str]:
        """Open invitation -> the e-mail address it is for."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "open_invitations"), organisation, now))
        return {row["invitation"]: row["email"] for row in rows}

    async def insert_reset(self, row: ResetRow) -> None:
        """Add an offer."""
        columns = (row.key_id, row.verifier, row.person, row.expires_at)
        await persist(lambda: self._across.execute(sql(_PACKAGE, "insert_reset"), *columns))

    async def find_reset(self, key_id: str) -> ResetRow | None:
        """The offer with this id."""
        row = await persist(lambda: self._across.fetchrow(sql(_PACKAGE, "find_reset"), key_id))
        return None if row is None else msgspec.convert(dict(row), ResetRow)

    async def use_reset(self, connection: Connection, key_id: str, now: datetime) -> bool:
        """Use the offer up; False when somebody was faster, or it is too late."""
        return await connection.fetchval(sql(_PACKAGE, "use_reset"), key_id, now) is not None
