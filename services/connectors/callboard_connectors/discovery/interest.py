"""Which resources agents want to hear of; pure. Interest is said again and again, and forgotten when it is not."""

from __future__ import annotations

from collections.abc import Iterable

FORGOTTEN_AFTER = 60.0
"""Seconds; edges say it anew every 20."""


class Interest:
    """URIs with the time they were named last (seconds of a monotonic clock)."""

    def __init__(self) -> None:
        self._named: dict[str, float] = {}

    def name(self, uris: Iterable[str], now: float) -> bool:
        """An edge names what its agents watch; True when one of them is new."""
        before = len(self._named)
        for uri in uris:
            self._named[uri] = now
        return len(self._named) != before

    def current(self, now: float) -> frozenset[str]:
        """What is still of interest."""
        self._named = {uri: at for uri, at in self._named.items() if now - at < FORGOTTEN_AFTER}
        return frozenset(self._named)
