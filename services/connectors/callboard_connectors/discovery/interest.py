"""Which resources agents want to hear of; pure. Interest is said again and again, and forgotten when it is not."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

FORGOTTEN_AFTER = 60.0
"""Seconds; edges say it anew every 20."""
MAX_URIS = 2000
"""Of one server: twice what one session may watch, so that one alone takes nobody's place."""


class Interest:
    """URIs with the time they were named last (seconds of a monotonic clock)."""

    def __init__(self) -> None:
        self._named: dict[str, float] = {}  # whatever was named last is the last one
        self._crowded = False

    def name(self, uris: Iterable[str], now: float) -> bool:
        """An edge names what its agents watch; True the first time that the oldest have to go, because it is too much.

        An agent may subscribe to one URI of a template after the other, without end: the server shall not feel it.
        """
        for uri in uris:
            self._named.pop(uri, None)
            self._named[uri] = now
        over = len(self._named) - MAX_URIS
        for uri in tuple(islice(self._named, max(over, 0))):
            del self._named[uri]
        first = over > 0 and not self._crowded
        self._crowded |= first
        return first

    def current(self, now: float) -> frozenset[str]:
        """What is still of interest."""
        self._named = {uri: at for uri, at in self._named.items() if now - at < FORGOTTEN_AFTER}
        return frozenset(self._named)
