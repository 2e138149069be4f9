"""What a request must show before its body is read: Host, Origin, path. Pure.

Host and Origin checks stop DNS rebinding (MCP basic/transports, security warning): a page in a browser can make
its own name resolve to this machine, but it cannot change these headers.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from callboard.kernel.names import is_slug
from callboard_edge.settings import EdgeSettings

_PATH = re.compile(r"/([^/]+)/([^/]+)/mcp/?")
_OTHER = re.compile(r"/([^/]+)/([^/]+)/(sse|message|ws)/?")
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]", "::1")


class Place(NamedTuple):
    """The playbook a path names; `version` 0 is the current one."""

    organisation: str
    playbook: str
    version: int


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
    """`/ORG/PLAYBOOK[@N]/mcp`, the part of the path after `/p`, as a place; None for any other path."""
    found = _PATH.fullmatch(path)
    return None if found is None else _place(found)


def other_door_of(path: str) -> tuple[Place, str] | None:
    """The same for the other carriers: the place, and `sse`, `message` or `ws`."""
    found = _OTHER.fullmatch(path)
    place = None if found is None else _place(found)
    return None if found is None or place is None else (place, found[3])


def _place(found: re.Match[str]) -> Place | None:
    organisation, (playbook, at, version) = found[1], found[2].partition("@")
    if not is_slug(organisation) or not is_slug(playbook) or (at and not version.isdecimal()):
        return None
    return Place(organisation, playbook, int(version[:9] or 0))
