"""The tables `cb.oauth_client` and `cb.oauth_request`: who asks, and what for."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime

import asyncpg
import msgspec

from callboard.platform.event_store import Connection
from callboard.platform.postgres import persist, sql
from callboard.platform.walls import across
from callboard_authsvc.oauth_server.client import IDLE_LIFE, UNUSED_LIFE, Client
from callboard_authsvc.oauth_server.domain import Request
from callboard_authsvc.vault.sealing import NONCE_BYTES, NotOpened, open_sealed, seal

_PACKAGE = "callboard_authsvc"
_STATE = ("oauth state",)
_SEALED = "sealed1."
"""Begins a sealed `state`. Without it the row is one of an instance that wrote what the client wants back as it was."""


class OAuthClientTable:
    """Reads wait for a database that restarts; what `connection` is given to happens in the caller's transaction."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._across = across(pool)  # most clients are nobody's; any is known by its id first

    async def find(self, client_id: str) -> Client | None:
        """The client of this id, live or not."""
        row = await persist(lambda: self._across.fetchrow(sql(_PACKAGE, "oauth_find_client"), client_id))
        return None if row is None else _client(row)

    async def keep(self, client: Client, now: datetime) -> None:
        """Add a client, or what its document says now; and forget those that nobody used."""
        await persist(lambda: self._across.execute(sql(_PACKAGE, "oauth_insert_client"), *_columns(client)))
        ends = (now - UNUSED_LIFE, now - IDLE_LIFE)
        await persist(lambda: self._across.execute(sql(_PACKAGE, "oauth_forget_clients"), *ends))

    async def insert(self, connection: Connection, client: Client) -> None:
        """Add a client."""
        await connection.execute(sql(_PACKAGE, "oauth_insert_client"), *_columns(client))

    async def remove(self, connection: Connection, organisation: str, client_id: str, now: datetime) -> None:
        """Refuse it from now on, and all that it was granted."""
        await connection.execute(sql(_PACKAGE, "oauth_remove_client"), organisation, client_id, now)
        await connection.execute(sql(_PACKAGE, "oauth_revoke_grants_of_client"), client_id, now)

    async def of_organisation(self, organisation: str) -> list[Client]:
        """The clients that the organisation made, the oldest first."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "oauth_service_clients"), organisation))
        return [_client(row) for row in rows]

    async def used(self, connection: Connection, client_id: str, now: datetime) -> None:
        """It got something."""
        await connection.execute(sql(_PACKAGE, "oauth_use_client"), client_id, now)


class OAuthRequestTable:
    """Ids are stored as hashes: who reads the table can decide nothing.

    What the client wants back (`state`) is sealed under a key that follows from the id: only who has that can read it.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = across(pool)  # a request is nobody's until a person answers it

    async def insert(self, request_id: str, request: Request, now: datetime) -> None:
        """Let a request wait, and forget those that nobody decided."""
        row = (
            _hashed(request_id),
            request.client_id,
            request.redirect_uri,
            request.named,
            _sealed(request_id, request.state),
            request.challenge,
            request.scopes,
            request.resource,
            request.expires_at,
        )
        await persist(lambda: self._pool.execute(sql(_PACKAGE, "oauth_insert_request"), *row))
        await persist(lambda: self._pool.execute(sql(_PACKAGE, "oauth_forget_requests"), now))

    async def show(self, request_id: str, session: str, now: datetime) -> Request | None:
        """The request, which is this session's from now on; None when it is another's, decided or over."""
        key = (_hashed(request_id), session, now)
        row = await persist(lambda: self._pool.fetchrow(sql(_PACKAGE, "oauth_show_request"), *key))
        return _request(request_id, row)

    async def decided(self, request_id: str, session: str, now: datetime) -> Request | None:
        """The request that this session decided a while ago."""
        key = (_hashed(request_id), session, now)
        row = await persist(lambda: self._pool.fetchrow(sql(_PACKAGE, "oauth_decided_request"), *key))
        return _request(request_id, row)

    async def decide(
        self, connection: Connection | asyncpg.Pool, request_id: str, session: str, now: datetime
    ) -> Request | None:
        """The same, once: nobody can decide it again."""
        row = await connection.fetchrow(sql(_PACKAGE, "oauth_decide_request"), _hashed(request_id), session, now)
        return _request(request_id, row)

    async def refuse(self, request_id: str, session: str, now: datetime) -> Request | None:
        """Decide it with no other effect."""
        return await persist(lambda: self.decide(self._pool, request_id, session, now))


def _request(request_id: str, row: asyncpg.Record | None) -> Request | None:
    if row is None:
        return None
    try:
        return msgspec.convert({**row, "state": _opened(request_id, row["state"])}, Request)
    except (NotOpened, ValueError):
        return None  # nobody could give the client back what it wants


def _sealed(request_id: str, state: str | None) -> str | None:
    if state is None:
        return None
    # One key for one value, so the nonce may be what it likes.
    sealed = seal(_state_key(request_id), bytes(NONCE_BYTES), state.encode(), _STATE)
    return _SEALED + base64.b64encode(sealed).decode()


def _opened(request_id: str, state: str | None) -> str | None:
    if state is None or not state.startswith(_SEALED):
        return state
    sealed = base64.b64decode(state.removeprefix(_SEALED))
    return open_sealed(_state_key(request_id), bytes(NONCE_BYTES), sealed, _STATE).decode()


def _state_key(request_id: str) -> bytes:
    return hashlib.sha256(f"callboard oauth state v1 {request_id}".encode()).digest()


def _client(row: asyncpg.Record) -> Client:
    return msgspec.convert(dict(row), Client)


def _columns(client: Client) -> tuple[object, ...]:
    return (
        client.client_id,
        client.kind,
        client.name,
        client.redirect_uris,
        client.auth_method,
        client.grant_types,
        client.verifier,
        client.public_keys,
        client.keys_url,
        client.organisation,
        client.account,
        client.created_at,
        client.fresh_until,
    )


def _hashed(request_id: str) -> bytes:
    return hashlib.sha256(request_id.encode()).digest()
