"""What an ID token must say (OpenID Connect Core 3.1.3.7), and which role follows from groups. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from callboard.contracts.problems import Problem
from callboard.kernel.permissions import ROLES

LEEWAY: Final = 30
"""Seconds by which the clocks of two machines may differ."""
ALGORITHMS: Final = ("RS256", "PS256", "ES256")
"""Signatures only: no shared secret, and never none."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Whom the provider vouches for. `email` is empty unless the provider verified it."""

    subject: str
    email: str = ""
    name: str = ""
    groups: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Identity()"


def challenge_of(verifier: str) -> str:
    """The S256 code challenge of a PKCE verifier (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def identity_of(
    claims: Mapping[str, Any], issuer: str, client_id: str, nonce: str, groups_claim: str, now: float
) -> Identity:
    """The identity in the claims of a token whose signature was checked; `login.refused` for any that is not for us."""
    audiences = _audiences(claims)
    subject = claims.get("sub")
    good = (
        claims.get("iss") == issuer
        and client_id in audiences
        and (claims.get("azp") == client_id or ("azp" not in claims and len(audiences) == 1))
        and _time(claims, "exp", default=0.0) + LEEWAY > now
        and _time(claims, "nbf", default=now) - LEEWAY <= now
        and _time(claims, "iat", default=math.inf) - LEEWAY <= now
        and hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode())
        and isinstance(subject, str)
        and 0 < len(subject) <= 255
    )
    if not good:
        raise refused()
    groups = claims.get(groups_claim)
    return Identity(
        subject=str(subject),
        email=_text(claims.get("email")) if claims.get("email_verified") is True else "",
        name=_text(claims.get("name")),
        groups=tuple(group for group in groups if isinstance(group, str)) if isinstance(groups, list) else (),
    )


def bearer_of(
    claims: Mapping[str, Any], issuer: str, client_id: str, parties: frozenset[str], now: float
) -> tuple[str, float]:
    """Subject and expiry (epoch seconds) of a JWT that comes as a bearer token; `auth.invalid` for any not for us.

    It must be bound to us: by its audience, or where it has none by the party it was issued to (`azp`), of `parties`.
    """
    audiences, party = _audiences(claims), claims.get("azp")
    bound = client_id in audiences if audiences else party in parties
    subject, expires = claims.get("sub"), _time(claims, "exp", default=0.0)
    good = (
        claims.get("iss") == issuer
        and bound
        and (party is None or party in parties)
        and expires > now
        and _time(claims, "nbf", default=now) - LEEWAY <= now
        and isinstance(subject, str)
        and subject != ""
    )
    if not good:
        raise Problem("auth.invalid", "the token is not one that is accepted here")
    return str(subject), expires


def _audiences(claims: Mapping[str, Any]) -> list[Any]:
    audience = claims.get("aud")
    return [audience] if isinstance(audience, str) else audience if isinstance(audience, list) else []


def role_of(groups: tuple[str, ...], roles: Mapping[str, str]) -> str:
    """The highest role that one of the groups has; empty when none has any."""
    found = [roles[group] for group in groups if group in roles]
    return max(found, key=list(ROLES).index, default="")


def parse_roles(text: str) -> dict[str, str]:
    """`group=role, group=role` as a mapping; raises ValueError with a sentence."""
    roles: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        group, equals, role = part.rpartition("=")
        if not equals or not group or role not in ROLES:
            raise ValueError(f"write GROUP=ROLE with a role of {', '.join(ROLES)}, several with commas")
        roles[group] = role
    return roles


def is_safe_issuer(issuer: str) -> bool:
    """Whether a provider can be asked without others listening: https, or this very machine."""
    parts = urlsplit(issuer)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1"))


def refused() -> Problem:
    """One answer for whatever is wrong with a login at the provider."""
    return Problem("login.refused", "the identity provider's answer is not good; sign in again from the start")


def _time(claims: Mapping[str, Any], name: str, *, default: float) -> float:
    value = claims.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else default


def _text(value: Any) -> str:
    return value.strip()[:254] if isinstance(value, str) and value.isprintable() else ""
