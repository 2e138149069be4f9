"""The answer to one request of a client that can come back: what is said is kept too, for any edge to say it again.

Spec: MCP 2025-11-25, basic/transports, "Resumability and Redelivery".
"""

from __future__ import annotations

import asyncio
import time

from callboard.contracts import subjects
from callboard.contracts.replays import ALIVE, EVENT, LAST, PAUSE, KeptEvent
from callboard_edge.mcp.answers import Receive, Send, send_end, send_event, send_mark, send_ping, start_sse
from callboard_edge.mcp.event_ids import prefix_of
from callboard_edge.mcp.relay import HttpOutlet
from callboard_edge.mcp.replays import Replays
from callboard_edge.mcp.sessions import Session
from callboard_edge.mcp.stream_holders import StreamHolders

RETRY = b"1000"
"""Milliseconds after which a client whose connection broke comes back."""
ALIVE_EVERY = 60.0


class KeptOutlet(HttpOutlet):
    """Nothing is kept of an answer in one piece. `let_go`: seconds without a word after which the client is asked to
    come back; 0: never."""

    __slots__ = (
        "_call_id", "_holders", "_kept", "_kept_at", "_let_go", "_number", "_open_here", "_owner", "_prefix",
        "_replays", "_said_here", "_subject", "key_id", "session",
    )  # fmt: skip

    def __init__(
        self,
        replays: Replays,
        holders: StreamHolders,
        let_go: float,
        session: Session,
        id: bytes,
        receive: Receive,
        send: Send,
        *,
        stream: bool,
    ) -> None:
        super().__init__(id, receive, send, modern=False, stream=stream)
        self._replays = replays
        self._holders = holders
        self._let_go = let_go
        self._owner = session
        self._kept = False
        # Whether this connection is open, and whether what is said goes out on it.
        self._open_here = self._said_here = True
        # With nobody's end: its request goes on.
        self.session = self.key_id = ""

    def resumes(self, call_id: str) -> bool:
        """From when it is a stream."""
        self._call_id = call_id
        return True

    async def _open(self) -> None:
        """The client is told an id first, so that it can come back whatever happens."""
        owner = self._owner
        self._subject = subjects.replay(owner.organisation, owner.id, self._call_id)
        self._prefix = prefix_of(self._call_id, self._id)
        self._number = 0
        self._kept_at = time.monotonic()
        self._kept = await self._replays.open(self._subject, self._call_id)
        await start_sse(self._send)
        if self._kept:
            self._holders.take(self._call_id, self)
            await send_mark(self._send, self._event_id, RETRY)

    @property
    def _event_id(self) -> bytes:
        return self._prefix + b"%d" % self._number if self._kept else b""

    async def _keep(self, kind: int, body: bytes = b"") -> None:
        if self._kept:
            self._number += kind != ALIVE
            self._kept_at = time.monotonic()
            await self._replays.keep(self._subject, KeptEvent(self._number, kind, self._replays.alias, body))

    async def _event(self, message: bytes, *, last: bool = False) -> None:
        await self._keep(LAST if last else EVENT, message)
        if self._said_here:
            await send_event(self._send, message, id=self._event_id, last=last)
        else:
            await self._end()

    async def idle(self) -> None:
        """A comment; or the end of a connection on which nothing is said for too long."""
        await self._start()
        quiet = time.monotonic() - self._kept_at
        if self._said_here and self._kept and 0 < self._let_go <= quiet:
            await self.pause(RETRY)
            return
        if quiet > ALIVE_EVERY:
            await self._keep(ALIVE)
        if self._said_here:
            await send_ping(self._send)
        else:
            await self._end()

    async def pause(self, retry: bytes) -> None:
        """The connection ends, the stream does not."""
        await self._start()
        if not self._kept:
            await send_ping(self._send)
            return
        await self._keep(PAUSE, retry)
        if self._said_here:
            self._said_here = self._open_here = False
            self._holders.leave(self._call_id, self)
            await send_mark(self._send, self._event_id, retry, last=True)

    def let_go(self) -> None:
        """See `StreamHolder`: this connection ends when there is something to say the next time."""
        self._said_here = False

    async def _end(self) -> None:
        if self._open_here:
            self._open_here = False
            await send_end(self._send)

    def close(self) -> None:
        """Whoever follows the stream elsewhere hears that nothing more will come."""
        if self._kept:
            self._replays.close(self._call_id)
            self._holders.leave(self._call_id, self)


class OwnOutlet(HttpOutlet):
    """The session's own stream; `linger`: seconds for which it is held for a client that has gone."""

    __slots__ = ("_away", "_linger", "_number", "_prefix")

    def __init__(self, stream: str, linger: float, receive: Receive, send: Send) -> None:
        super().__init__(b"null", receive, send, modern=False)
        self._prefix = prefix_of(stream)
        self._linger = linger
        self._number = 0
        self._away = False

    async def _open(self) -> None:
        await start_sse(self._send)
        await send_mark(self._send, self._prefix + b"0", RETRY)

    async def _event(self, message: bytes, *, last: bool = False) -> None:
        self._number += 1
        if not self._away:
            await send_event(self._send, message, id=self._prefix + b"%d" % self._number, last=last)

    async def idle(self) -> None:
        """A comment."""
        await self._start()
        if not self._away:
            await send_ping(self._send)

    async def gone(self) -> None:
        """Until the client has closed the connection and not come back."""
        await super().gone()
        self._away = True
        await asyncio.sleep(self._linger)
