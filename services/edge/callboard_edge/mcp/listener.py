"""One open stream of an agent: what it wants to hear of, and what it has not been told yet."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from callboard_edge.mcp.gate import Asker, Place

MAX_SAID = 1000


class News(NamedTuple):
    """What to tell: kinds of list that changed, resources that did, and whole messages."""

    kinds: list[str]
    uris: list[str]
    messages: list[bytes]


class Listener:
    """Level-triggered: a change that comes twice before it was told is told once.

    `watched`: URI -> server, the resources this agent subscribed to.
    """

    def __init__(
        self,
        place: Place,
        asker: Asker,
        kinds: frozenset[str],
        etags: dict[str, str],
        watched: dict[str, str] | None = None,
    ) -> None:
        self.place = place
        self.asker = asker
        self.kinds = kinds
        self.watched = dict(watched or {})
        self._etags = dict(etags)
        self._changed: set[str] = set()
        self._updated: dict[str, None] = {}
        self._said: deque[bytes] = deque(maxlen=MAX_SAID)
        self._wake = asyncio.Event()
        self.closed = False

    @property
    def session(self) -> str:
        """The session whose stream this is; empty in the stateless era."""
        return self.asker.session

    @property
    def key_id(self) -> str:
        """The token that opened it."""
        return self.asker.principal

    def offer(self, etags: dict[str, str]) -> None:
        """The lists are these now."""
        different = {kind for kind in self.kinds if etags.get(kind) != self._etags.get(kind)}
        self._etags.update(etags)
        if different:
            self._changed |= different
            self._wake.set()

    def updated(self, server: str, uri: str) -> None:
        """A resource of a server is another one."""
        if self.watched.get(uri) == server:
            self._updated[uri] = None
            self._wake.set()

    def say(self, message: bytes) -> None:
        """A message for this stream; of more than `MAX_SAID` that wait the oldest are left out."""
        self._said.append(message)
        self._wake.set()

    def close(self) -> None:
        """End the stream from our side."""
        self.closed = True
        self._wake.set()

    async def news(self, within: float) -> News:
        """What is new since the last time; nothing after `within` seconds of silence."""
        try:
            async with asyncio.timeout(within):
                await self._wake.wait()
        except TimeoutError:
            return News([], [], [])
        self._wake.clear()
        found = News(sorted(self._changed), list(self._updated), list(self._said))
        self._changed.clear()
        self._updated.clear()
        self._said.clear()
        return found
