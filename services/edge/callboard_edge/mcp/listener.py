"""One open stream of an agent: what it wants to hear of, and what it has not been told yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from callboard.contracts.replays import StreamNews
from callboard_edge.mcp.gate import Asker, Place

MAX_SAID = 1000


class News(NamedTuple):
    """What to tell: kinds of list that changed, resources that did, and whole messages."""

    kinds: list[str]
    uris: list[str]
    messages: list[bytes]


async def _no_tasks() -> None:
    """Most streams are not about tasks."""


class Listener:
    """Level-triggered: a change that comes twice before it was told is told once.

    `judge_tasks`: has it hear nothing of tasks that it may not ask for any more.
    `watched`: URI -> server, the resources this agent subscribed to; `lost` are those that it may not have any more.
    `stream`: the name of a stream that can be resumed; what is told on it is numbered, and remembered by kind of list
    and URI. `read`: which reading of its session it goes by.
    """

    def __init__(
        self,
        place: Place,
        asker: Asker,
        kinds: frozenset[str],
        etags: dict[str, str],
        watched: dict[str, str] | None = None,
        stream: str = "",
    ) -> None:
        self.place = place
        self.asker = asker
        self.kinds = kinds
        self.watched = dict(watched or {})
        self.lost: dict[str, str] = {}
        self._etags = dict(etags)
        self._changed: set[str] = set()
        self._updated: dict[str, None] = {}
        self._said: deque[bytes] = deque(maxlen=MAX_SAID)
        self._wake = asyncio.Event()
        self.read = 0
        self._doubts = 0
        self._doubtful: dict[str, str] = {}
        self.judge_tasks: Callable[[], Awaitable[None]] = _no_tasks
        self.closed = False
        self.stream = stream
        self._number = 0
        self._told: dict[str, int] = {}
        self._told_messages: deque[tuple[int, bytes]] = deque(maxlen=MAX_SAID)

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
        elif self._doubts:
            self._doubtful[uri] = server

    def doubt(self) -> None:
        """Its session subscribed to others, and these are being read: until `settled`, what is updated may be one."""
        self._doubts += 1

    def settled(self) -> None:
        """What it watches is known again."""
        self._doubts -= 1
        if not self._doubts:
            doubtful, self._doubtful = self._doubtful, {}
            for uri, server in doubtful.items():
                self.updated(server, uri)

    def watch(self, subscriptions: Mapping[str, str]) -> None:
        """The session has subscribed to these, and to no others."""
        self.lost = {uri: server for uri, server in self.lost.items() if uri in subscriptions}
        self.watched = {uri: server for uri, server in subscriptions.items() if uri not in self.lost}

    def lose(self, uri: str, server: str) -> None:
        """Its caller may not have this resource any more."""
        self.watched.pop(uri, None)
        self._updated.pop(uri, None)
        self.lost[uri] = server

    def find(self, uri: str, server: str) -> None:
        """Its caller may have this resource again."""
        if self.lost.pop(uri, None) is not None:
            self.watched[uri] = server

    def told(self, what: str) -> None:
        """The next event is about this list or resource."""
        self._number += 1
        self._told[what] = self._number

    def told_message(self, message: bytes) -> None:
        """The next event is this message."""
        self._number += 1
        if self.stream:
            self._told_messages.append((self._number, message))

    def hand_over(self, number: int) -> StreamNews:
        """What an agent does not know that heard the events up to this number; it hears of it elsewhere, not here."""
        unheard = self._changed | self._updated.keys() | {what for what, at in self._told.items() if at > number}
        messages = (*(message for at, message in self._told_messages if at > number), *self._said)
        self._changed.clear()
        self._updated.clear()
        self._said.clear()
        self.close()
        kinds, uris = tuple(sorted(unheard & self.kinds)), tuple(sorted(unheard - self.kinds))
        return StreamNews(held=True, kinds=kinds, uris=uris, etags=self._etags, messages=messages)

    def take_over(self, news: StreamNews) -> None:
        """Begin where another stream of the agent ended."""
        if news.held:
            self._etags = dict(news.etags)
        # Of what it could have heard from an edge that is gone nothing is known: all of it may be another one.
        self._changed.update(news.kinds if news.held else self.kinds)
        self._updated.update(dict.fromkeys(news.uris if news.held else self.watched))
        self._said.extend(news.messages)
        if self._changed or self._updated or self._said:
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
