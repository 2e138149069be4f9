"""Session tokens: how a browser, which cannot set headers on a WebSocket, shows its token without it in the URL.

Whoever has the client token asks `POST …/ws` for one; it opens one socket to one playbook within a minute, and any edge
redeems it. What is stored (NATS KV) is the client token sealed under a key that only the session token has: the
client token is verified again when the socket opens, so that a revocation in between counts.
"""

from __future__ import annotations

import base64
import os
import re
import time

import msgspec
import nats.errors
import nats.js.errors
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from callboard.contracts import subjects
from callboard.contracts.problems import Problem
from callboard.platform.bus import Bus
from callboard_edge.mcp.gate import Place

PREFIX = "callboard.token."
"""Begins the subprotocol entry that carries the token."""
LIFETIME = 60
"""Seconds in which the socket must be opened."""
_FORM = re.compile(r"([0-9a-f]{24})-([A-Za-z0-9_-]{43})")
_AWAY = (nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError)


class _Sealed(msgspec.Struct, frozen=True):
    expires: float
    nonce: bytes
    sealed: bytes


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Sealed).decode


class SessionTokens:
    """Issues and redeems them."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def issue(self, place: Place, authorization: bytes) -> str:
        """A token for one socket to this playbook, in the name of whoever sent this Authorization header."""
        id, key, nonce = os.urandom(12).hex(), os.urandom(32), os.urandom(12)
        sealed = AESGCM(key).encrypt(nonce, authorization, _bound_to(place))
        try:
            bucket = await self._bus.client.jetstream(timeout=3).key_value(subjects.BUCKET_SESSIONS)
            await bucket.put(id, _encode(_Sealed(time.time() + LIFETIME, nonce, sealed)))
        except _AWAY as error:
            raise _unavailable(error) from None
        return f"{id}-{base64.urlsafe_b64encode(key).rstrip(b'=').decode()}"

    async def redeem(self, token: str, place: Place) -> bytes:
        """The Authorization header behind it, once; `auth.invalid` for any token that is not good for this place."""
        found = _FORM.fullmatch(token)
        if found is None:
            raise _invalid()
        sealed = await self._taken(found[1])
        if sealed.expires < time.time():
            raise _invalid()
        try:
            key = base64.urlsafe_b64decode(found[2] + "=")
            return AESGCM(key).decrypt(sealed.nonce, sealed.sealed, _bound_to(place))
        except InvalidTag:
            raise _invalid() from None

    async def _taken(self, id: str) -> _Sealed:
        """What is stored, removed; of several who try at the same time one gets it."""
        try:
            bucket = await self._bus.client.jetstream(timeout=3).key_value(subjects.BUCKET_SESSIONS)
            entry = await bucket.get(id)
            await bucket.delete(id, last=entry.revision)
        except (nats.js.errors.KeyNotFoundError, nats.js.errors.KeyDeletedError, nats.js.errors.BadRequestError):
            # A bad request: the revision to remove is not the last one any more.
            raise _invalid() from None
        except _AWAY as error:
            raise _unavailable(error) from None
        if not entry.value:
            raise _invalid()
        return _decode(entry.value)


def session_token_of(subprotocols: list[str]) -> str | None:
    """The token among the subprotocols that a client offers."""
    return next((entry.removeprefix(PREFIX) for entry in subprotocols if entry.startswith(PREFIX)), None)


def _bound_to(place: Place) -> bytes:
    return f"{place.organisation}/{place.playbook}@{place.version}".encode()


def _invalid() -> Problem:
    return Problem("auth.invalid", "the session token is not valid here, was used, or has expired")


def _unavailable(error: BaseException) -> Problem:
    return Problem("bus.unavailable", f"session tokens cannot be reached right now ({type(error).__name__})")
