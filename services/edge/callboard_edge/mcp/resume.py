"""A client comes back for the rest of an answer, at whatever edge (GET with `Last-Event-ID`).

What was kept is told again from there, and what is still to come follows, while the edge at which the request was made
goes on collecting. When that edge is gone, so is the answer, and the client is told.
Spec: MCP 2025-11-25, basic/transports, "Resumability and Redelivery".
"""

from __future__ import annotations

import asyncio
import time

import structlog

from callboard.contracts import subjects
from callboard.contracts.problems import Problem
from callboard.contracts.replays import ALIVE, LAST, OPENED, PAUSE, KeptEvent
from callboard.contracts.status import StreamOpened
from callboard.platform.bus import Bus
from callboard_edge.mcp.answers import (
    Receive,
    Send,
    error_message,
    problem_object,
    send_end,
    send_event,
    send_mark,
    send_ping,
    start_sse,
)
from callboard_edge.mcp.event_ids import EventId, prefix_of
from callboard_edge.mcp.kept_outlet import RETRY, KeptOutlet
from callboard_edge.mcp.replays import STORE_AWAY, Reading, Replays
from callboard_edge.mcp.sessions import Session
from callboard_edge.mcp.stream_holders import StreamHolders

log = structlog.get_logger()
_ON_ITS_WAY = 0.5
"""Seconds that an event may need to be found in the store."""


class Resume:
    """Serves those who come back. `silence`: seconds after which the collecting edge is asked whether it still is.

    `let_go`: seconds without a word after which they are asked to come back once more; 0: never.
    """

    def __init__(self, bus: Bus, replays: Replays, holders: StreamHolders, silence: float, let_go: float) -> None:
        self._bus = bus
        self._replays = replays
        self._holders = holders
        self._silence = silence
        self._let_go = let_go

    def outlet(self, session: Session, id: bytes, receive: Receive, send: Send, *, stream: bool) -> KeptOutlet:
        """Where the answer to a request goes, so that its client can come back for it."""
        return KeptOutlet(self._replays, self._holders, self._let_go, session, id, receive, send, stream=stream)

    async def serve(self, session: Session, after: EventId, receive: Receive, send: Send) -> None:
        """The answer from an event on. Another session's events, like forgotten ones, are not there."""
        subject = subjects.replay(session.organisation, session.id, after.stream)
        async with self._replays.reading(subject) as reading:
            follower = _Follower(session, after, reading, send)
            first = await _first(reading)
            await start_sse(send)
            if first is None:
                await follower.lost("what came after this event is not known any more")
                return
            self._holders.take(after.stream, follower)
            moved = StreamOpened(session=session.id, edge=self._bus.instance, stream=after.stream)
            await self._bus.tell(subjects.STREAM_OPENED, moved)
            watcher = asyncio.create_task(_until_disconnect(receive, follower))
            try:
                await self._follow(follower, first)
            except STORE_AWAY as error:
                log.warning("replays_away", reason=type(error).__name__)
                await follower.pause()
            finally:
                self._holders.leave(after.stream, follower)
                watcher.cancel()

    def close_session(self, session: str) -> None:
        """The session was deleted: nobody goes on in it."""
        self._holders.close_session(session)

    def close_key(self, key_id: str) -> None:
        """The token was revoked."""
        self._holders.close_key(key_id)

    def opened_elsewhere(self, message: StreamOpened) -> None:
        """The client goes on with the answer at another edge."""
        if message.edge != self._bus.instance and message.stream:
            self._holders.release(message.stream)

    async def _follow(self, follower: _Follower, first: KeptEvent) -> None:
        event: KeptEvent | None = first
        quiet, said = True, time.monotonic()
        while not follower.gone:
            if event is not None:
                if follower.misses(event):
                    await follower.lost("events that came after this one were lost")
                    return
                if await follower.tell(event):
                    return
                said = time.monotonic()
            elif 0 < self._let_go <= time.monotonic() - said:
                await follower.pause()
                return
            elif quiet and not await self._collected(follower):
                await follower.lost("the edge that waited for the answer is gone")
                return
            else:
                quiet = not await follower.reading.wait(self._silence)
                if quiet:
                    await send_ping(follower.send)
            event = await follower.reading.next()
        await send_end(follower.send)

    async def _collected(self, follower: _Follower) -> bool:
        if await self._replays.is_collected(follower.edge, follower.after.stream):
            return True
        return await follower.reading.wait(_ON_ITS_WAY)


async def _first(reading: Reading) -> KeptEvent | None:
    """The first event that is kept; None for a stream of which nothing is known."""
    try:
        first = await reading.next()
        if first is None:
            # With a replicated store another server may answer than the one that has it already.
            await reading.wait(_ON_ITS_WAY)
            first = await reading.next()
    except STORE_AWAY as error:
        log.warning("replays_away", reason=type(error).__name__)
        raise Problem("bus.unavailable", "the stream cannot be resumed right now; try again") from None
    return first


class _Follower:
    """The connection of one who came back."""

    def __init__(self, session: Session, after: EventId, reading: Reading, send: Send) -> None:
        self.session = session.id
        self.key_id = session.principal
        self.after = after
        self.reading = reading
        self.send = send
        self.edge = ""
        self.gone = False
        self._prefix = prefix_of(after.stream, after.request)
        self._number = after.number

    @property
    def _id(self) -> bytes:
        return self._prefix + b"%d" % self._number

    def let_go(self) -> None:
        """The client is at another connection, or not allowed any more."""
        self.gone = True
        self.reading.wake()

    def misses(self, event: KeptEvent) -> bool:
        """Whether events between the last one told and this one are not kept any more."""
        # ALIVE has the number of the event before it (`KeptOutlet`).
        return event.number > self._number + (event.kind != ALIVE)

    async def tell(self, event: KeptEvent) -> bool:
        """Pass a kept event on; whether that ends the connection."""
        self.edge = event.edge
        if event.number <= self.after.number or event.kind in (OPENED, ALIVE):
            if event.kind != LAST:
                return False
            await send_end(self.send)  # it has the answer
            return True
        self._number = event.number
        if event.kind == PAUSE:
            await send_mark(self.send, self._id, event.body, last=True)
            return True
        last = event.kind == LAST
        await send_event(self.send, event.body, id=self._id, last=last)
        return last

    async def pause(self) -> None:
        """The client may try again in a moment."""
        await send_mark(self.send, self._id, RETRY, last=True)

    async def lost(self, why: str) -> None:
        """The answer will not come: say so in its place."""
        problem = Problem("call.outcome_unknown", f"{why}; the call may or may not have been executed")
        body = error_message(self.after.request, problem_object(problem, self.after.stream))
        await send_event(self.send, body, last=True)


async def _until_disconnect(receive: Receive, follower: _Follower) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    follower.let_go()
