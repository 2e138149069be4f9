"""The tables `cb.external_identity` and `cb.external_login`."""

from __future__ import annotations

from datetime import datetime

import asyncpg
import msgspec

from callboard.platform.event_store import Connection
from callboard.platform.postgres import persist, sql
from callboard.platform.walls import across

_PACKAGE = "callboard_authsvc"


class PendingLogin(msgspec.Struct, frozen=True, kw_only=True):
    """A login under way: verifiers of `state` and of the browser's ticket, the PKCE verifier, the nonce."""

    ticket: bytes
    verifier: str
    nonce: str
    expires_at: datetime

    def __repr__(self) -> str:
        return "PendingLogin()"


class ExternalTable:
    """Reads wait for a database that restarts."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = across(pool)  # persons belong to no organisation

    async def begin(self, state: bytes, login: PendingLogin, now: datetime) -> None:
        """Remember a login, and forget those that nobody finished."""
        columns = (state, login.ticket, login.verifier, login.nonce, login.expires_at)
        await persist(lambda: self._pool.execute(sql(_PACKAGE, "insert_external_login"), *columns))
        await persist(lambda: self._pool.execute(sql(_PACKAGE, "forget_external_logins"), now))

    async def take(self, state: bytes) -> PendingLogin | None:
        """The login of this state, once."""
        row = await self._pool.fetchrow(sql(_PACKAGE, "take_external_login"), state)
        return None if row is None else msgspec.convert(dict(row), PendingLogin)

    async def person_of(self, issuer: str, subject: str) -> str | None:
        """The person whom the provider calls so."""
        found: str | None = await persist(
            lambda: self._pool.fetchval(sql(_PACKAGE, "external_person"), issuer, subject)
        )
        return found

    async def link(self, connection: Connection, issuer: str, subject: str, person: str) -> None:
        """From now on that is this person."""
        await connection.execute(sql(_PACKAGE, "insert_external_identity"), issuer, subject, person)

    async def unlink(self, connection: Connection, issuer: str, subject: str) -> None:
        """The provider does not vouch for that one any more."""
        await connection.execute(sql(_PACKAGE, "unlink_identity"), issuer, subject)

    async def is_known_webhook(self, id: str) -> bool:
        """Whether a message with this id took effect."""
        return await persist(lambda: self._pool.fetchval(sql(_PACKAGE, "webhook_known"), id)) is not None

    async def remember_webhook(self, id: str, now: datetime, before: datetime) -> None:
        """It took effect; what is older than `before` would not be accepted again anyway, and is forgotten."""
        await persist(lambda: self._pool.execute(sql(_PACKAGE, "webhook_received"), id, now))
        await persist(lambda: self._pool.execute(sql(_PACKAGE, "forget_webhooks"), before))
