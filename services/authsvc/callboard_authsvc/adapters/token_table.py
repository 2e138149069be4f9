"""The table `cb.token`."""

from __future__ import annotations

from datetime import datetime

import asyncpg
import msgspec

from callboard.platform.event_store import Connection
from callboard.platform.postgres import persist, sql
from callboard.platform.walls import across

_PACKAGE = "callboard_authsvc"


class TokenRow(msgspec.Struct, frozen=True, kw_only=True):
    """One token as stored; `verifier` is 32 bytes.

    `rights`: what the member behind it may do now; None when there is none (any more).
    """

    key_id: str
    organisation: str
    client: str
    verifier: bytes
    scopes: tuple[str, ...]
    playbooks: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    person: str | None = None
    member: str = ""
    used_at: datetime | None = None
    replaced_by: str = ""
    rights: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        return f"TokenRow(key_id={self.key_id!r}, organisation={self.organisation!r}, client={self.client!r})"


class TokenTable:
    """Reads wait for a database that restarts; writes happen in the caller's transaction."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        # A key says whose it is only when it is found; and it may be an administrator's, of no organisation.
        self._across = across(pool)

    async def insert(self, connection: Connection, row: TokenRow) -> None:
        """Add a client's token."""
        await connection.execute(sql(_PACKAGE, "insert_token"), *_columns(row), row.person)

    async def revoke(self, connection: Connection, organisation: str, key_id: str, now: datetime) -> None:
        """Mark a token as revoked; one that is already keeps its time."""
        await connection.execute(sql(_PACKAGE, "revoke_token"), organisation, key_id, now)

    async def rotate(
        self, connection: Connection, organisation: str, key_id: str, replaced_by: str, until: datetime
    ) -> None:
        """Another token takes over; this one ends at `until`, or when it would have ended before."""
        await connection.execute(sql(_PACKAGE, "rotate_token"), organisation, key_id, replaced_by, until)

    async def find(self, key_id: str) -> TokenRow | None:
        """The token with this key id."""
        row = await persist(lambda: self._across.fetchrow(sql(_PACKAGE, "find_token"), key_id))
        return None if row is None else _row(row)

    async def of_organisation(self, organisation: str) -> list[TokenRow]:
        """All tokens of an organisation, oldest first."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "list_tokens"), organisation))
        return [_row(row) for row in rows]

    async def revoked_since(self, since: datetime) -> list[str]:
        """Key ids of every organisation that were revoked from `since` on."""
        rows = await persist(lambda: self._across.fetch(sql(_PACKAGE, "tokens_revoked_since"), since))
        return [row["key_id"] for row in rows]

    async def replace_administrator(self, row: TokenRow) -> bool:
        """Make `row` the only live one of its organisation and client.

        False, and nothing is changed, when the key id belongs to somebody else.
        """

        async def replace() -> bool:
            async with self._across.acquire() as connection, connection.transaction():
                if await connection.fetchval(sql(_PACKAGE, "upsert_administrator"), *_columns(row)) is None:
                    return False
                others = (row.organisation, row.client, row.key_id, row.created_at)
                await connection.execute(sql(_PACKAGE, "revoke_other_administrators"), *others)
                return True

        return await persist(replace)


def _columns(row: TokenRow) -> tuple[object, ...]:
    return (
        row.key_id,
        row.organisation,
        row.client,
        row.verifier,
        row.scopes,
        row.playbooks,
        row.created_at,
        row.expires_at,
        row.member,
    )


def _row(row: asyncpg.Record) -> TokenRow:
    return TokenRow(
        key_id=row["key_id"],
        organisation=row["organisation"],
        client=row["client"],
        verifier=bytes(row["verifier"]),
        scopes=tuple(row["scopes"]),
        playbooks=tuple(row["playbooks"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        member=row["member"],
        used_at=row["used_at"],
        replaced_by=row["replaced_by"],
        rights=None if row["role"] is None else (row["role"], *row["permissions"]),
    )
