"""Server-sent events (WHATWG HTML 9.2) of what passes on a subject, for as long as somebody reads them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from litestar.response import Stream
from nats.aio.msg import Msg

from callboard.platform.bus import Bus

HEARTBEAT_SECONDS: Final = 10.0
BACKLOG: Final = 1000
"""Events kept for a reader that is slower than the bus; beyond it the oldest are dropped, and it is told."""

_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


Read = Callable[[Msg], Sequence[bytes]]
"""What of a message becomes events, each with its data; nothing of one that the reader may not see."""


def _whole(message: Msg) -> Sequence[bytes]:
    return (message.data,)


class _Backlog:
    """What came and was not yet read. `end` makes the stream end after it."""

    def __init__(self, key_id: str, read: Read) -> None:
        self.key_id = key_id
        self._read = read
        self._waiting: deque[bytes] = deque(maxlen=BACKLOG)
        self._arrived = asyncio.Event()
        self._dropped = 0
        self.ended = False

    def end(self) -> None:
        """Nothing more will come."""
        self.ended = True
        self._arrived.set()

    async def put(self, message: Msg) -> None:
        """Callback of the subscription."""
        events = self._read(message)
        if events:
            self._dropped += max(0, len(self._waiting) + len(events) - BACKLOG)
            self._waiting.extend(events)
            self._arrived.set()

    async def next_text(self) -> bytes:
        """The next piece of the stream: events that wait, or after a quiet while a comment."""
        try:
            await asyncio.wait_for(self._arrived.wait(), HEARTBEAT_SECONDS)
        except TimeoutError:
            return b": still here\n\n"
        self._arrived.clear()
        lost, self._dropped = self._dropped, 0
        pieces = [f": {lost} dropped, the reader is too slow\n\n".encode()] if lost else []
        pieces += [b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n\n" for data in self._waiting]
        self._waiting.clear()
        return b"".join(pieces)


class Tails:
    """Every stream that is being read from this edge."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._open: set[_Backlog] = set()

    def close_all(self) -> None:
        """End every stream, so that no reader keeps the edge from stopping."""
        for backlog in self._open:
            backlog.end()

    def close_key(self, key_id: str) -> None:
        """End the streams of this key: it was revoked, or opens something else now. Who still may comes back."""
        for backlog in self._open:
            if backlog.key_id == key_id:
                backlog.end()

    def tail(self, subject: str, read: Read = _whole, key_id: str = "") -> Stream:
        """A response that goes on until the reader leaves, its key ends or the edge stops; then it unsubscribes."""
        return Stream(self._follow(subject, key_id, read), media_type="text/event-stream", headers=_HEADERS)

    async def _follow(self, subject: str, key_id: str, read: Read) -> AsyncIterator[bytes]:
        backlog = _Backlog(key_id, read)
        self._open.add(backlog)
        subscription = await self._bus.listen(subject, backlog.put)
        try:
            # The first bytes say that from here on nothing is missed.
            await self._bus.settled()
            yield b": following\n\n"
            while True:
                yield await backlog.next_text()
                if backlog.ended:
                    return
        finally:
            self._open.discard(backlog)
            if not self._bus.client.is_closed:
                await asyncio.shield(subscription.unsubscribe())
