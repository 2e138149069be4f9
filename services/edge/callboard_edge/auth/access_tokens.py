"""From a JWT of our own authorization server to a principal: signature and claims here, rights at authsvc.

What the token says of itself is never trusted before its signature: the algorithm is fixed, the key is one of our set,
and a header with anything else in it (`jku`, `jwk`, `x5u`, `crit`) is refused (RFC 8725). JWTs of an identity provider
are signed by other keys, and so they are nothing here.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

import msgspec
from joserfc import jws
from joserfc.errors import JoseError

from callboard.contracts import signing_subjects as subjects
from callboard.contracts.access import Principal
from callboard.contracts.problems import Problem
from callboard.contracts.signing import VerifyGrant
from callboard.kernel.access_tokens import (
    ALGORITHM,
    LEEWAY_SECONDS,
    TOKEN_TYPE,
    AccessClaims,
    check_claims,
    narrowed,
    resource_of,
)
from callboard.platform.bus import Bus
from callboard_edge.auth.signing_keys import SigningKeySet

LONGEST_TOKEN: Final = 4096
Audience = tuple[str, str]
"""(organisation, playbook); two empty texts for what is at `/mcp`."""


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    alg: Literal["ES256"]
    typ: str
    kid: str


class Verified(NamedTuple):
    """Who it is, the one place the token is for, and when the token ends (epoch seconds, with the leeway)."""

    principal: Principal
    audience: Audience
    expires: float


class AccessTokens:
    """Checks them. `public_url` is the issuer, and the beginning of every resource."""

    def __init__(self, bus: Bus, keys: SigningKeySet, public_url: str) -> None:
        self._bus = bus
        self._keys = keys
        self._public_url = public_url

    async def verify(self, token: str) -> Verified:
        """Raises `auth.invalid`, with one message for all that can be wrong."""
        claims = await self._claims(token)
        check_claims(claims, self._public_url, time.time())
        audience = resource_of(self._public_url, claims.aud)
        if audience is None or audience[0] not in ("", claims.org):
            raise invalid()
        question = VerifyGrant(
            grant=claims.gid,
            client_id=claims.client_id,
            subject=claims.sub,
            organisation=claims.org,
            resource=claims.aud,
        )
        held = await self._bus.ask(subjects.VERIFY_GRANT, question, Principal, 5.0)
        ends = claims.exp + LEEWAY_SECONDS
        principal = msgspec.structs.replace(
            held,
            scopes=narrowed(held.scopes, claims.scope),
            playbooks=(audience[1],) if audience[1] else held.playbooks,
            expires_at=datetime.fromtimestamp(ends, UTC),
            renewed=True,
        )
        return Verified(principal, audience, float(ends))

    async def _claims(self, token: str) -> AccessClaims:
        if len(token) > LONGEST_TOKEN:
            raise invalid()
        try:
            read = jws.extract_compact(token.encode())
            header = msgspec.convert(read.protected, _Header)
            key = await self._keys.key(header.kid) if header.typ == TOKEN_TYPE else None
            if key is None or not jws.validate_compact(read, key, algorithms=[ALGORITHM]):
                raise invalid()
            return msgspec.json.decode(read.payload, type=AccessClaims)
        except (JoseError, msgspec.DecodeError, ValueError):
            raise invalid() from None


def is_jwt(token: str) -> bool:
    """Whether a token has the form of a JWT; those of ours that are looked up have no dots."""
    return token.count(".") == 2


def invalid() -> Problem:
    """One refusal for all: what exactly is wrong helps only those who try."""
    return Problem("auth.invalid", "the token is unknown, expired or revoked")
