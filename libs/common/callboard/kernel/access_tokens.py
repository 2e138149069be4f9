"""What an access token of ours says, and what is checked of it before anybody is asked. Pure.

An access token is a JWT (RFC 9068, `at+jwt`, ES256) that authsvc mints and an edge checks by itself. It is good for
one resource: the URL of one playbook (`resource_url`), or `PUBLIC/mcp`. What its holder may do is never in it: that is
asked of authsvc by the grant `gid` and is what it is now; the token's `scope` only narrows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec

from callboard.contracts.problems import Problem
from callboard.kernel.names import is_slug, version_number
from callboard.kernel.permissions import actions_of

ALGORITHM: Final = "ES256"
TOKEN_TYPE: Final = "at+jwt"
LEEWAY_SECONDS: Final = 30
"""How far the clocks of two machines may be apart."""
LONGEST_SECONDS: Final = 3600
"""The longest life of an access token; nothing mints a longer one."""

USE: Final = "mcp:use"
_PATH: Final = re.compile(r"/p/([^/@]+)/([^/@]+)(?:@([^/]+))?/(?:mcp|sse|message|ws)/?")
SCOPES: Final[Mapping[str, str]] = {
    USE: "use",
    "mcp:read": "read",
    "mcp:operate": "operate",
    "mcp:manage": "manage",
}
"""Standard scope -> level of `kernel.permissions`, each with all before it. Consent first asks for `BASELINE` alone."""
_RANKS: Final = {scope: rank for rank, scope in enumerate(SCOPES)}
BASELINE: Final = (USE,)
"""The scopes of ordinary use: what metadata and the challenge of a 401 name. The others are for a step-up."""


class AccessClaims(msgspec.Struct, frozen=True, kw_only=True):
    """The claims, all of them always there. `exp` and `iat` are epoch seconds; `scope` has spaces between its names.

    `iss`: the public URL of the installation, without a slash at its end. `sub`: the member's id. `aud`: the one
    resource. `org`: the organisation. `gid`: the id of the grant, also the `key_id` of its principal.
    """

    iss: str
    sub: str
    aud: str
    exp: int
    iat: int
    jti: str
    client_id: str
    scope: str
    org: str
    gid: str


def resource_url(public_url: str, organisation: str = "", playbook: str = "") -> str:
    """The canonical URL of a playbook, whatever version or carrier of it is used; without a playbook: `…/mcp`."""
    base = public_url.rstrip("/")
    return f"{base}/p/{organisation}/{playbook}/mcp" if playbook else f"{base}/mcp"


def resource_of(public_url: str, url: str) -> tuple[str, str] | None:
    """(organisation, playbook) of a resource of ours, ("", "") for `…/mcp`; None for any other URL.

    One slash at the end is forgiven, and capital letters in scheme and host (RFC 8707, MCP basic/authorization). The
    URL of a version (`…@3/mcp`) or of another carrier (`…/sse`) stands for the same playbook.
    """
    path = _path_under(public_url, url)
    if path is None or path.removesuffix("/") == "/mcp":
        return None if path is None else ("", "")
    found = _PATH.fullmatch(path)
    if found is None or not is_slug(found[1]) or not is_slug(found[2]):
        return None
    if found[3] is not None and version_number(found[3]) is None:
        return None
    return found[1], found[2]


def _path_under(public_url: str, url: str) -> str | None:
    """The path of a URL of this origin that has nothing behind its path."""
    try:
        given, ours = urlsplit(url), urlsplit(public_url)
    except ValueError:
        return None
    same = (given.scheme.lower(), given.netloc.lower()) == (ours.scheme.lower(), ours.netloc.lower())
    return given.path if same and not any(mark in url for mark in "?#") else None


def check_claims(claims: AccessClaims, issuer: str, now: float) -> None:
    """Raise `auth.invalid` unless the token is of this issuer and of this time; `now` is in epoch seconds."""
    if claims.iss != issuer.rstrip("/"):
        raise _invalid()
    if claims.exp <= now - LEEWAY_SECONDS or claims.iat > now + LEEWAY_SECONDS:
        raise _invalid()
    if claims.exp - claims.iat > LONGEST_SECONDS:
        # Signing keys are taken away when the tokens that they signed are over.
        raise _invalid()


def _invalid() -> Problem:
    return Problem("auth.invalid", "the token is unknown, expired or revoked")


def scopes_of(text: str) -> tuple[str, ...]:
    """The scopes of ours in a `scope` text, each once, in the order of `SCOPES`; others mean nothing here."""
    named = set(text.split())
    return tuple(scope for scope in SCOPES if scope in named)


def levels_of(scopes: Iterable[str]) -> tuple[str, ...]:
    """The names of `kernel.permissions` for these standard scopes."""
    return tuple(SCOPES[scope] for scope in scopes if scope in SCOPES)


def highest_of(actions: frozenset[str]) -> str:
    """The highest scope whose level is among these actions (`permissions.actions_of`); empty for none."""
    return next((scope for scope in reversed(tuple(SCOPES)) if SCOPES[scope] in actions), "")


def covers(held: str, wanted: str) -> bool:
    """Whether one scope allows what the other does; the empty text allows nothing."""
    return held != "" and _RANKS[wanted] <= _RANKS[held]


def narrowed(held: tuple[str, ...], scope: str) -> tuple[str, ...]:
    """What is left of `held` (names of `kernel.permissions`) for a token with this `scope` text: never more."""
    allowed = actions_of(held)
    return tuple(level for level in levels_of(scopes_of(scope)) if actions_of((level,)) <= allowed)
