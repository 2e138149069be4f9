"""The tables of upstream sign-ins: grants, registered clients, sign-ins under way; sealed."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

import asyncpg
import msgspec

from callboard.platform.event_store import Connection
from callboard.platform.postgres import persist, sql
from callboard_authsvc.clock import Chance
from callboard_authsvc.upstream_oauth.domain import Challenge, Client, Flow, Grant, Whose
from callboard_authsvc.upstream_oauth.link import LINK_SECONDS
from callboard_authsvc.upstream_oauth.ports import Held, Line
from callboard_authsvc.vault.sealed import Sealer

_PACKAGE = "callboard_authsvc"
_HANDLE_BYTES = 16
_LEFT_SECONDS = 120.0
"""One that has less left is not given out again."""

_grant = msgspec.json.Decoder(Grant).decode
_client = msgspec.json.Decoder(Client).decode
_flow = msgspec.json.Decoder(Flow).decode
_challenge = msgspec.json.Decoder(Challenge).decode
_encode = msgspec.json.Encoder().encode


class GrantTable:
    """`cb.upstream_grant`; see `upstream_oauth.ports.Grants`."""

    def __init__(self, pool: asyncpg.Pool, sealer: Sealer) -> None:
        self._pool = pool
        self._sealer = sealer

    async def find(self, whose: Whose) -> Held | None:
        """The newest version."""
        row = await persist(lambda: self._pool.fetchrow(sql(_PACKAGE, "find_grant"), *_key(whose)))
        if row is None:
            return None
        opened = await self._sealer.open(whose.organisation, _place("grant", whose), bytes(row["sealed"]))
        return Held(_grant(opened), row["version"], row["lost"])

    async def keep(self, whose: Whose, grant: Grant, over: int | None) -> int | None:
        """The next version, perhaps only in the place of `over`."""
        row = await self.row(whose, grant)
        if over is None:
            version = await persist(lambda: self._pool.fetchval(sql(_PACKAGE, "keep_grant"), *row))
        else:
            version = await persist(lambda: self._pool.fetchval(sql(_PACKAGE, "replace_grant"), *row, over))
        return None if version is None else int(version)

    async def row(self, whose: Whose, grant: Grant) -> tuple[object, ...]:
        """What `insert` writes: the grant, sealed, beside what may be seen of it."""
        sealed = await self._sealer.seal(whose.organisation, _place("grant", whose), _encode(grant))
        return (*_key(whose), sealed, grant.found.server.issuer, grant.scope.split())

    async def insert(self, connection: Connection, row: tuple[object, ...]) -> None:
        """Keep it in the caller's transaction."""
        await connection.execute(sql(_PACKAGE, "keep_grant"), *row)

    async def delete(self, connection: Connection, whose: Whose) -> None:
        """Forget it in the caller's transaction."""
        await connection.execute(sql(_PACKAGE, "delete_grant"), *_key(whose))

    async def lease(self, whose: Whose, version: int, seconds: float) -> bool:
        """Be the one who renews it."""
        key = (*_key(whose), version, seconds)
        return await persist(lambda: self._pool.fetchval(sql(_PACKAGE, "lease_grant"), *key)) is not None

    async def release(self, whose: Whose, version: int) -> None:
        """Did not renew it."""
        await persist(lambda: self._pool.execute(sql(_PACKAGE, "release_grant"), *_key(whose), version))

    async def lose(self, whose: Whose, version: int) -> None:
        """It cannot be renewed."""
        await persist(lambda: self._pool.execute(sql(_PACKAGE, "lose_grant"), *_key(whose), version))

    async def reseal(self, organisation: str, newest: int) -> int:
        """Seal some grants and clients of an older data key under the newest one; how many there were."""
        grants = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "grants_to_reseal"), organisation, newest))
        for row in grants:
            whose, sealed = Whose(organisation, row["server"], row["subject"]), bytes(row["sealed"])
            fresh = await self._again(organisation, _place("grant", whose), sealed)
            await self._write("reseal_grant", *_key(whose), sealed, fresh)
        clients = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "clients_to_reseal"), organisation, newest))
        for row in clients:
            issuer, sealed = row["issuer"], bytes(row["sealed"])
            fresh = await self._again(organisation, ("upstream client", issuer), sealed)
            await self._write("reseal_client", organisation, issuer, sealed, fresh)
        return len(grants) + len(clients)

    async def _write(self, name: str, *values: object) -> None:
        await persist(lambda: self._pool.execute(sql(_PACKAGE, name), *values))

    async def _again(self, organisation: str, place: tuple[str, ...], sealed: bytes) -> bytes:
        return await self._sealer.seal(organisation, place, await self._sealer.open(organisation, place, sealed))

    async def lines(self, organisation: str, server: str) -> list[Line]:
        """Every grant of a server."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "list_grants"), organisation, server))
        return [Line(r["subject"], r["lost"], r["issuer"], tuple(r["scopes"]), r["updated_at"]) for r in rows]


class ClientTable:
    """`cb.upstream_client`; see `upstream_oauth.ports.Clients`."""

    def __init__(self, pool: asyncpg.Pool, sealer: Sealer) -> None:
        self._pool = pool
        self._sealer = sealer

    async def find(self, organisation: str, issuer: str) -> Client | None:
        """As registered at this issuer."""
        sealed = await persist(lambda: self._pool.fetchval(sql(_PACKAGE, "find_client"), organisation, issuer))
        if sealed is None:
            return None
        return _client(await self._sealer.open(organisation, ("upstream client", issuer), bytes(sealed)))

    async def keep(self, organisation: str, issuer: str, client: Client) -> None:
        """In place of what was there."""
        sealed = await self._sealer.seal(organisation, ("upstream client", issuer), _encode(client))
        row = (organisation, issuer, client.client_id, sealed)
        await persist(lambda: self._pool.execute(sql(_PACKAGE, "keep_client"), *row))

    async def drop(self, organisation: str, issuer: str, client_id: str) -> None:
        """It is not known there any more."""
        await persist(lambda: self._pool.execute(sql(_PACKAGE, "drop_client"), organisation, issuer, client_id))


class SignInTable:
    """`cb.upstream_sign_in`; see `upstream_oauth.ports.SignIns`.

    A handle is 16 random bytes and an HMAC of them under a key that is not in the database: who reads the table cannot
    follow anybody's link.
    """

    def __init__(self, pool: asyncpg.Pool, sealer: Sealer, key: bytes, chance: Chance) -> None:
        self._pool = pool
        self._sealer = sealer
        self._hmac_key = key
        self._chance = chance

    async def open(self, whose: Whose, challenge: Challenge) -> str:
        """The handle; the same while a link is good for some minutes more."""
        await persist(lambda: self._pool.execute(sql(_PACKAGE, "forget_sign_ins")))
        row = (*_key(whose), self._chance(_HANDLE_BYTES), _encode(challenge).decode(), LINK_SECONDS, _LEFT_SECONDS)
        return self._shown(bytes(await persist(lambda: self._pool.fetchval(sql(_PACKAGE, "open_sign_in"), *row))))

    async def look(self, handle: str) -> tuple[Whose, Challenge] | None:
        """What the link is for."""
        row = await persist(lambda: self._pool.fetchrow(sql(_PACKAGE, "look_sign_in"), self._kept(handle)))
        if row is None:
            return None
        return Whose(row["organisation"], row["server"], row["subject"]), _challenge(row["challenge"])

    async def park(self, handle: str, state: str, flow: Flow) -> bool:
        """Wait for this state."""
        sealed = await self._sealer.seal(flow.whose.organisation, _place("flow", flow.whose), _encode(flow))
        row = (self._kept(handle), _hashed(state), sealed)
        return await persist(lambda: self._pool.fetchval(sql(_PACKAGE, "park_sign_in"), *row)) is not None

    async def take(self, state: str) -> Flow | None:
        """The flow that waited for this state, once."""
        row = await persist(lambda: self._pool.fetchrow(sql(_PACKAGE, "take_sign_in"), _hashed(state)))
        if row is None or not row["open"]:
            return None
        whose = Whose(row["organisation"], row["server"], row["subject"])
        return _flow(await self._sealer.open(whose.organisation, _place("flow", whose), bytes(row["sealed"])))

    def _shown(self, kept: bytes) -> str:
        return base64.urlsafe_b64encode(kept + self._proof(kept)).rstrip(b"=").decode()

    def _kept(self, handle: str) -> bytes:
        """The half that is in the table; nothing for a handle that was not made here."""
        try:
            both = base64.b64decode(handle.encode() + b"=" * (-len(handle) % 4), b"-_", validate=True)
        except (binascii.Error, ValueError):
            return b""
        kept = both[:_HANDLE_BYTES]
        return kept if hmac.compare_digest(both[_HANDLE_BYTES:], self._proof(kept)) else b""

    def _proof(self, kept: bytes) -> bytes:
        return hmac.digest(self._hmac_key, kept, "sha256")[:_HANDLE_BYTES]


def _key(whose: Whose) -> tuple[str, str, str]:
    return whose.organisation, whose.server, whose.subject


def _place(kind: str, whose: Whose) -> tuple[str, ...]:
    return (f"upstream {kind}", whose.server, whose.subject)


def _hashed(state: str) -> bytes:
    return hashlib.sha256(state.encode()).digest()
