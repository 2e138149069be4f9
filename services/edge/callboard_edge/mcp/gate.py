"""What a request must show before its body is read: Host, Origin, path, and the place it enters. Pure.

Host and Origin checks stop DNS rebinding (MCP basic/transports, security warning): a page in a browser can make
its own name resolve to this machine, but it cannot change these headers.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from callboard.contracts import subjects
from callboard.contracts.access import Principal
from callboard.contracts.problems import Problem
from callboard.kernel.access_tokens import BASELINE, highest_of
from callboard.kernel.names import PERSON_PREFIX, is_slug, version_number
from callboard.kernel.permissions import actions_of, can, selection_of, selects
from callboard_edge.settings import EdgeSettings

_PATH = re.compile(r"/([^/]+)/([^/]+)/mcp/?")
_OTHER = re.compile(r"/([^/]+)/([^/]+)/(sse|message|ws)/?")
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]", "::1")


class Place(NamedTuple):
    """What a client enters: a playbook, or the union of several; `version` 0 is the current one.

    `selection` is for a union only: the globs of the token that choose its playbooks (`permissions.selection_of`);
    `playbook` is `subjects.SEVERAL` then. What a session belongs to is the first three: a token has one selection.
    """

    organisation: str
    playbook: str
    version: int
    selection: str = ""

    @property
    def path(self) -> str:
        """What stands before `/mcp` (and before the doors of other carriers) in a URL that leads here."""
        if self.selection:
            return ""
        return f"/p/{self.organisation}/{self.playbook}" + (f"@{self.version}" if self.version else "")

    def shows(self, playbook: str) -> bool:
        """Whether a playbook of the organisation is here."""
        return self.playbook == playbook or (self.selection != "" and selects(self.selection, playbook))


class Asker(NamedTuple):
    """On whose behalf the edge itself asks about a place, because not every caller is served the same.

    `expires`: when the token does, in epoch seconds; None: never.
    """

    client: str
    principal: str
    anonymous: bool
    session: str = ""
    expires: float | None = None
    member: str = ""
    oauth_client: str = ""


def expiry_of(principal: Principal) -> float | None:
    """When the token expires, in epoch seconds; None: never."""
    return None if principal.expires_at is None else principal.expires_at.timestamp()


def call_expiry_of(principal: Principal) -> float | None:
    """When a call of this principal has to end: with its token, but for one that others follow (revocation ends it)."""
    return None if principal.renewed or principal.expires_at is None else principal.expires_at.timestamp()


def asker_of(principal: Principal, session: str = "") -> Asker:
    """The caller behind a request (and its session, where the era has any)."""
    anonymous = principal.organisation == ""
    return Asker(
        principal.client,
        principal.key_id,
        anonymous,
        session,
        expiry_of(principal),
        principal.member,
        principal.oauth_client,
    )


def scopes_of(principal: Principal, organisation: str) -> tuple[str, str]:
    """For `RpcHead.scopes`: what the principal may do there, and what it could after signing in anew.

    Only a person can agree to more. What a role does not allow is within nobody's reach, so nobody is sent for it.
    """
    rights = None if principal.grants is None else principal.grants.get(organisation, ())
    return _scopes(principal.scopes, rights, principal.renewed and principal.member.startswith(PERSON_PREFIX))


@lru_cache(maxsize=4096)
def _scopes(held: tuple[str, ...], rights: tuple[str, ...] | None, can_ask: bool) -> tuple[str, str]:
    allowed = actions_of(("administer",) if rights is None else rights)
    now = highest_of(actions_of(held) & allowed)
    return now, highest_of(allowed) if can_ask else now


BY_TOKEN = Place("", "", 0)
"""What a path names that names no playbook: `place_by_token` says where it leads."""
_places = {"/mcp": BY_TOKEN}
_MAX_PLACES = 10_000


class Gate:
    """The checks, with the lists of what is allowed prepared."""

    def __init__(self, settings: EdgeSettings) -> None:
        hosts = {host.strip().lower() for host in settings.allowed_hosts.split(",") if host.strip()}
        self._any_host = "*" in hosts
        self._hosts = hosts
        self._origins = {o.strip().lower() for o in settings.allowed_origins.split(",") if o.strip()}
        if settings.on_loopback:
            self._hosts |= set(LOOPBACK_NAMES)
        else:
            self._hosts.add(settings.host.lower())
        self._good: set[bytes] = set()

    def host_allowed(self, host: bytes | None) -> bool:
        """Whether the Host header names us; the port does not matter."""
        if host is None:
            return self._any_host
        if host in self._good:
            return True
        name = host.decode("latin-1").lower()
        if not name.endswith("]"):
            name = name.rsplit(":", 1)[0] if ":" in name else name
        if self._any_host or name in self._hosts:
            if len(self._good) < 64:
                self._good.add(host)
            return True
        return False

    def origin_allowed(self, origin: bytes | None) -> bool:
        """Whether a browser's page may call: no Origin (not a browser), a listed one, or one of our own hosts."""
        if origin is None:
            return True
        text = origin.decode("latin-1").lower()
        if text in self._origins or "*" in self._origins:
            return True
        try:
            name = urlsplit(text).hostname or ""
        except ValueError:
            return False
        return name in self._hosts or f"[{name}]" in self._hosts


def place_of(path: str) -> Place | None:
    """`/ORG/PLAYBOOK[@N]/mcp`, the part of the path after `/p`, as a place; `/mcp`; None for any other path."""
    place = _places.get(path)
    if place is None and (found := _PATH.fullmatch(path)) is not None and (place := _place(found)) is not None:
        if len(_places) >= _MAX_PLACES:
            _places.clear()
            _places["/mcp"] = BY_TOKEN
        _places[path] = place
    return place


def other_door_of(path: str) -> tuple[Place, str] | None:
    """The same for the other carriers: the place, and `sse`, `message` or `ws`."""
    found = _OTHER.fullmatch(path)
    place = None if found is None else _place(found)
    return None if found is None or place is None else (place, found[3])


def _place(found: re.Match[str]) -> Place | None:
    organisation, (playbook, at, version) = found[1], found[2].partition("@")
    number = version_number(version) if at else 0
    if number is None or not is_slug(organisation) or not is_slug(playbook):
        return None
    return Place(organisation, playbook, number)


def not_opened(principal: Principal, organisation: str, why: str) -> Problem:
    """Why this principal does not get in; too few scopes a client can mend by asking for more."""
    if principal.renewed and can(msgspec.structs.replace(principal, scopes=("use",)), "use", organisation):
        scope = " ".join(BASELINE)
        return Problem("auth.scope_insufficient", why, scope=scope)
    return Problem("auth.forbidden", why)


def place_by_token(principal: Principal) -> Place:
    """What `/mcp` is for the holder of a token; `auth.forbidden` when nothing follows from it.

    A token that names one playbook: that playbook, with its names as they are. Any other: the union of what it opens,
    even while that is a single one, so that names do not depend on what is published later.
    """
    organisation = principal.organisation
    if organisation == "*":
        text = "an administrator's token belongs to no organisation, so nothing is served for it at /mcp; use a token"
        raise Problem("auth.forbidden", f"{text} of `callboard token issue`, or /p/ORGANISATION/PLAYBOOK/mcp")
    if not can(principal, "use", organisation):
        raise not_opened(principal, organisation, "the token does not allow the use of playbooks")
    selection = selection_of(principal.playbooks)
    if is_slug(selection):
        return Place(organisation, selection, 0)
    return Place(organisation, subjects.SEVERAL, 0, selection)
