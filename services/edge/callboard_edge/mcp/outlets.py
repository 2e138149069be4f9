"""Where the messages of one answer go once it is an event stream: to the client, and into the store to be resumed."""

from __future__ import annotations

import time
from typing import Protocol

from callboard.contracts.replays import ALIVE, EVENT, LAST, PAUSE, KeptEvent
from callboard_edge.mcp.answers import Send, send_end, send_event, send_mark, send_ping, start_sse
from callboard_edge.mcp.carriers import Carriers
from callboard_edge.mcp.event_ids import prefix_of
from callboard_edge.mcp.replays import Replays

RETRY = b"1000"
"""Milliseconds after which a client whose connection broke comes back."""
ALIVE_EVERY = 60.0


class Outlet(Protocol):
    """An answer as an event stream."""

    async def start(self) -> None:
        """The head of the stream."""

    async def event(self, data: bytes, *, last: bool = False) -> None:
        """A message; the last one is the answer."""

    async def ping(self) -> None:
        """Nothing to say for a while."""

    async def pause(self, retry: bytes) -> None:
        """Let the client come back after so many milliseconds, if it can."""

    def close(self) -> None:
        """The answer was given, or never will be."""


class PlainOutlet:
    """A stream that ends with its connection."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def start(self) -> None:
        """See `Outlet`."""
        await start_sse(self._send)

    async def event(self, data: bytes, *, last: bool = False) -> None:
        """See `Outlet`."""
        await send_event(self._send, data, last=last)

    async def ping(self) -> None:
        """See `Outlet`."""
        await send_ping(self._send)

    async def pause(self, retry: bytes) -> None:
        """See `Outlet`: the connection stays."""
        await send_ping(self._send)

    def close(self) -> None:
        """See `Outlet`."""


class KeptOutlet:
    """A stream that outlives its connection: whatever is said on it is kept, whether somebody listens or not."""

    session = key_id = ""

    def __init__(
        self,
        replays: Replays,
        carriers: Carriers,
        subject: str,
        stream: str,
        request: bytes,
        send: Send,
        let_go: float,
    ) -> None:
        self._replays = replays
        self._carriers = carriers
        self._subject = subject
        self._stream = stream
        self._prefix = prefix_of(stream, request)
        self._send = send
        self._number = 0
        self._kept = False
        self._kept_at = 0.0
        self._let_go = let_go
        self._carrying = True
        self._open = True

    async def start(self) -> None:
        """See `Outlet`: the client is told an id first, so that it can come back whatever happens."""
        self._kept = await self._replays.open(self._subject, self._stream)
        self._kept_at = time.monotonic()
        await start_sse(self._send)
        if self._kept:
            self._carriers.take(self._stream, self)
            await send_mark(self._send, self._id, RETRY)

    @property
    def _id(self) -> bytes:
        return self._prefix + b"%d" % self._number if self._kept else b""

    async def _keep(self, kind: int, body: bytes = b"") -> None:
        if self._kept:
            self._number += kind != ALIVE
            self._kept_at = time.monotonic()
            await self._replays.keep(self._subject, KeptEvent(self._number, kind, self._replays.alias, body))

    async def event(self, data: bytes, *, last: bool = False) -> None:
        """See `Outlet`."""
        await self._keep(LAST if last else EVENT, data)
        if self._carrying:
            await send_event(self._send, data, id=self._id, last=last)
        elif self._open:
            await self._end()

    async def ping(self) -> None:
        """See `Outlet`."""
        quiet = time.monotonic() - self._kept_at
        if self._carrying and self._kept and 0 < self._let_go <= quiet:
            await self.pause(RETRY)
            return
        if quiet > ALIVE_EVERY:
            await self._keep(ALIVE)
        if self._carrying:
            await send_ping(self._send)
        elif self._open:
            await self._end()

    async def pause(self, retry: bytes) -> None:
        """See `Outlet`."""
        if not self._kept:
            await self.ping()
            return
        await self._keep(PAUSE, retry)
        if self._carrying:
            self._carrying = self._open = False
            self._carriers.leave(self._stream, self)
            await send_mark(self._send, self._id, retry, last=True)

    def let_go(self) -> None:
        """See `Carrier`: its connection ends when there is something to say the next time."""
        self._carrying = False

    async def _end(self) -> None:
        self._open = False
        await send_end(self._send)

    def close(self) -> None:
        """See `Outlet`."""
        self._replays.close(self._stream)
        self._carriers.leave(self._stream, self)
