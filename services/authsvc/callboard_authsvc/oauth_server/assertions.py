"""Signed assertions: of clients (RFC 7523 section 3, `private_key_jwt`), and of identity providers (ID-JAG)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeGuard

import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from callboard.contracts.problems import Problem
from callboard_authsvc.external.domain import ALGORITHMS, LEEWAY
from callboard_authsvc.oauth_server.client import Client, unknown_client
from callboard_authsvc.oauth_server.dependencies import OAuthDependencies, Trusted
from callboard_authsvc.oauth_server.domain import refused
from callboard_authsvc.oauth_server.limit import limit

log = structlog.get_logger()
LONGEST: Final = 600
"""Seconds that an assertion may live: for so long its use is remembered."""
KEY_FETCHES: Final = 60
"""Of keys of clients, for one address, within a quarter of an hour."""
ID_JAG: Final = "oauth-id-jag+jwt"
_MAX_ASSERTION: Final = 16_384


def claimed_client(assertion: str) -> str:
    """Who a client assertion says it is of; nothing is checked yet. Empty: nobody."""
    return str(_part(assertion, 1).get("sub", ""))


async def check_client_assertion(assertion: str, client: Client, address: str, use: OAuthDependencies) -> None:
    """Raise `invalid_client` unless this client signed it, for us, just now, and it was not used before."""
    header = _part(assertion, 0)
    # Nothing is fetched for what would be refused anyway.
    if header.get("alg") not in ALGORITHMS or not _is_for_us(_part(assertion, 1), client, use):
        raise unknown_client()
    keys = await _keys_of(client, str(header.get("kid", "")), address, use)
    try:
        claims = jwt.decode(assertion, keys, algorithms=ALGORITHMS).claims
    except (JoseError, ValueError) as error:
        log.info("client_assertion_not_good", reason=type(error).__name__)
        raise unknown_client() from None
    if not _is_for_us(claims, client, use) or not await _taken(client.client_id, claims, use):
        raise unknown_client()


def _is_for_us(claims: Mapping[str, Any], client: Client, use: OAuthDependencies) -> bool:
    return (
        claims.get("iss") == claims.get("sub") == client.client_id
        and bool(audiences_of(claims) & {use.issuer, f"{use.issuer}/token"})
        and is_timely(claims, use.clock().timestamp())
    )


async def check_id_jag(assertion: str, client: Client, use: OAuthDependencies) -> tuple[Trusted, Mapping[str, Any]]:
    """Who vouches, and its claims; `invalid_grant` for any assertion that is not for this client, here and now."""
    if len(assertion) > _MAX_ASSERTION or _part(assertion, 0).get("typ") != ID_JAG:
        raise bad_assertion()
    issuer = _part(assertion, 1).get("iss")
    trusted = use.trusted.get(issuer) if isinstance(issuer, str) else None
    if trusted is None or trusted.organisation != client.organisation:
        raise bad_assertion()
    try:
        claims = await trusted.provider.claims(assertion)
    except Problem as problem:
        raise (bad_assertion() if problem.code == "login.refused" else problem) from None
    good = (
        claims.get("iss") == issuer
        and audiences_of(claims) == {use.issuer}
        and claims.get("client_id") == client.client_id
        and is_timely(claims, use.clock().timestamp())
        and await _taken(str(issuer), claims, use)
    )
    if not good:
        raise bad_assertion()
    return trusted, claims


def bad_assertion() -> Problem:
    """One answer for whatever is wrong with an assertion."""
    return refused("invalid_grant", "the assertion is not one that is accepted here")


def audiences_of(claims: Mapping[str, Any]) -> set[str]:
    """Whom a JWT is for."""
    audience = claims.get("aud")
    named = [audience] if isinstance(audience, str) else audience if isinstance(audience, list) else []
    return {name.rstrip("/") for name in named if isinstance(name, str)}


def is_timely(claims: Mapping[str, Any], now: float) -> bool:
    """Whether a JWT is of this moment, and will not be good for long."""
    expires = claims.get("exp")
    ahead = [claims[name] for name in ("nbf", "iat") if name in claims]
    if not _is_time(expires) or not all(map(_is_time, ahead)):
        return False
    return now - LEEWAY < expires <= now + LONGEST + LEEWAY and max(ahead, default=now) <= now + LEEWAY


def _is_time(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


async def _taken(whose: str, claims: Mapping[str, Any], use: OAuthDependencies) -> bool:
    """Use the assertion up, by its `jti`; False when it has none or was used before."""
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= 255:
        return False
    digest = hashlib.sha256(json.dumps([whose, jti]).encode()).digest()
    ends = datetime.fromtimestamp(claims["exp"], UTC) + timedelta(seconds=LEEWAY)
    return await use.grants.take_assertion(digest, ends, use.clock())


async def _keys_of(client: Client, kid: str, address: str, use: OAuthDependencies) -> KeySet:
    if not client.public_keys and client.keys_url:
        allow = partial(limit, "oauth client keys", address, KEY_FETCHES, use)
        if (found := await use.client_keys.at(client.keys_url, kid, allow)) is None:
            raise unknown_client()
        return found
    try:
        return KeySet.import_key_set(json.loads(client.public_keys))
    except (JoseError, ValueError, KeyError, TypeError, RecursionError) as error:
        log.info("client_keys_not_read", reason=type(error).__name__)
        raise unknown_client() from None


def _part(token: str, number: int) -> Mapping[str, Any]:
    """The header (0) or the claims (1) of a JWT as they are written; empty for what is none."""
    try:
        text = token.split(".")[number]
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, IndexError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
