"""The tables `cb.oauth_grant`, `_code`, `_refresh` and `_assertion`: of values that open something only verifiers."""

from __future__ import annotations

from datetime import datetime, timedelta

import asyncpg
import msgspec

from callboard.platform.event_store import Connection
from callboard.platform.postgres import persist, sql
from callboard.platform.walls import across
from callboard_authsvc.oauth_server.domain import KEPT_GENERATIONS, Code, Grant, Refresh, Request

_PACKAGE = "callboard_authsvc"
_CODES_KEPT = timedelta(days=1)


class OAuthGrantTable:
    """Reads wait for a database that restarts; what `connection` is given to happens in the caller's transaction."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self._across = across(pool)  # a grant, a code or a token says whose it is only when it is found

    async def insert(self, connection: Connection, grant: Grant) -> None:
        """Add a grant."""
        row = (
            grant.gid,
            grant.organisation,
            grant.member,
            grant.client_id,
            grant.client_name,
            grant.means,
            grant.playbook,
            grant.resource,
            grant.scopes,
            grant.created_at,
        )
        await connection.execute(sql(_PACKAGE, "oauth_insert_grant"), *row)

    async def find(self, gid: str) -> Grant | None:
        """The grant of this id, live or not."""
        return await self._one("oauth_find_grant", gid)

    async def like(self, grant: Grant) -> Grant | None:
        """A live grant of the same to the same."""
        key = (grant.client_id, grant.member, grant.organisation, grant.means, grant.resource, grant.scopes)
        return await self._one("oauth_like_grant", *key)

    async def consented_at(self, client_id: str, member: str, organisation: str, playbook: str) -> datetime | None:
        """When this member agreed to that client there the last time."""
        key = (client_id, member, organisation, playbook)
        found: datetime | None = await persist(
            lambda: self.pool.fetchval(sql(_PACKAGE, "oauth_consented_before"), *key)
        )
        return found

    async def listed(self, organisation: str, member: str, ended_after: datetime, used_after: datetime) -> list[Grant]:
        """Grants of an organisation, of a member, or of both (empty: any), the newest first."""
        key = (organisation, member, ended_after, used_after)
        rows = await persist(lambda: self.pool.fetch(sql(_PACKAGE, "oauth_grants"), *key))
        return [_grant(row) for row in rows]

    async def outgrown(self, grant: Grant) -> list[Grant]:
        """Live grants of the same to the same that were given before it, with fewer scopes."""
        key = (grant.client_id, grant.member, grant.organisation, grant.resource, grant.created_at, grant.scopes)
        rows = await persist(lambda: self.pool.fetch(sql(_PACKAGE, "oauth_outgrown_grants"), *key))
        return [_grant(row) for row in rows]

    async def of_client(self, client_id: str) -> list[str]:
        """Ids of the live grants of a client."""
        rows = await persist(lambda: self.pool.fetch(sql(_PACKAGE, "oauth_grants_of_client"), client_id))
        return [row["gid"] for row in rows]

    async def revoke(self, connection: Connection, gid: str, now: datetime, reason: str) -> None:
        """End a grant; one that ended keeps its time."""
        await connection.execute(sql(_PACKAGE, "oauth_revoke_grant"), gid, now, reason)

    async def revoke_of_person(self, connection: Connection, person: str, now: datetime) -> list[Grant]:
        """End all of a person, in every organisation, because the password is another; those that ended now."""
        rows = await connection.fetch(sql(_PACKAGE, "oauth_revoke_grants_of_person"), person, now)
        return [_grant(row) for row in rows]

    async def revoked_since(self, since: datetime) -> list[str]:
        """Ids of the grants that ended from `since` on."""
        rows = await persist(lambda: self._across.fetch(sql(_PACKAGE, "oauth_grants_revoked_since"), since))
        return [row["gid"] for row in rows]

    async def used(self, connection: Connection, gid: str, now: datetime) -> None:
        """Tokens were given out."""
        await connection.execute(sql(_PACKAGE, "oauth_use_grant"), gid, now)

    # --- codes ---------------------------------------------------------------------------------------

    async def insert_code(
        self, connection: Connection, verifier: bytes, gid: str, request: Request, ends: datetime
    ) -> None:
        """Add a code, and forget those of days ago: whoever comes with one of them is refused all the same."""
        row = (verifier, gid, request.redirect_uri, request.named, request.challenge, ends)
        await connection.execute(sql(_PACKAGE, "oauth_insert_code"), *row)
        await connection.execute(sql(_PACKAGE, "oauth_forget_codes"), ends - _CODES_KEPT)

    async def code(self, verifier: bytes) -> Code | None:
        """The code, spent or not."""
        row = await persist(lambda: self._across.fetchrow(sql(_PACKAGE, "oauth_find_code"), verifier))
        if row is None:
            return None
        return Code(
            grant=_grant(row),
            redirect_uri=row["redirect_uri"],
            named=row["named"],
            challenge=row["challenge"],
            expires_at=row["ends_at"],
            spent_at=row["spent_at"],
        )

    async def spend(self, connection: Connection, verifier: bytes, now: datetime) -> bool:
        """Use the code up; False when somebody else just did."""
        return await connection.fetchval(sql(_PACKAGE, "oauth_spend_code"), verifier, now) is not None

    # --- refresh tokens ------------------------------------------------------------------------------

    async def refresh(self, verifier: bytes) -> Refresh | None:
        """The refresh token, replaced or not."""
        row = await persist(lambda: self._across.fetchrow(sql(_PACKAGE, "oauth_find_refresh"), verifier))
        if row is None:
            return None
        return Refresh(
            grant=_grant(row),
            generation=row["generation"],
            expires_at=row["ends_at"],
            followed_at=row["followed_at"],
        )

    async def insert_refresh(
        self, connection: Connection, verifier: bytes, gid: str, generation: int, ends: datetime
    ) -> None:
        """Add a generation; the same one again changes nothing."""
        await connection.execute(sql(_PACKAGE, "oauth_insert_refresh"), verifier, gid, generation, ends)
        await connection.execute(sql(_PACKAGE, "oauth_forget_refresh"), gid, generation - KEPT_GENERATIONS)

    async def use_refresh(self, connection: Connection, verifier: bytes, now: datetime) -> None:
        """It was presented."""
        await connection.execute(sql(_PACKAGE, "oauth_use_refresh"), verifier, now)

    # --- assertions ----------------------------------------------------------------------------------

    async def take_assertion(self, digest: bytes, ends: datetime, now: datetime) -> bool:
        """Use an assertion up; False when it was used before."""
        taken = await persist(lambda: self._across.fetchval(sql(_PACKAGE, "oauth_take_assertion"), digest, ends))
        await persist(lambda: self._across.execute(sql(_PACKAGE, "oauth_forget_assertions"), now))
        return taken is not None

    async def _one(self, statement: str, *key: object) -> Grant | None:
        row = await persist(lambda: self._across.fetchrow(sql(_PACKAGE, statement), *key))
        return None if row is None else _grant(row)


_FIELDS = Grant.__struct_fields__


def _grant(row: asyncpg.Record) -> Grant:
    return msgspec.convert({name: row[name] for name in _FIELDS}, Grant)
