"""The calls this worker works on, and those it finished lately."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import cached_property
from math import inf
from typing import Literal, Protocol

import msgspec

from callboard.contracts.calls import MODERN, NOTIFICATION, PAUSED, CallHead, ReplyHead, frame, frames
from callboard_connectors.calls.domain import PROGRESS, forwarded, is_progress_of
from callboard_connectors.calls.pace import Pace
from callboard_connectors.tasks.domain import TaskIds, news
from callboard_connectors.transports.envelope import Envelope

Publish = Callable[[str, bytes], Awaitable[None]]
Flush = Callable[[], Awaitable[object]]
"""Waits until the bus has taken what was published."""
Record = Callable[[str, bytes], None]
"""Takes a record and its subject; it leaves soon."""
Ending = Literal["", "cancelled", "timeout", "idle", "stopping", "flooded"]

KEPT_SECONDS = 30.0
KEPT_CALLS = 2048
KEPT_ID_CHARACTERS = 200
EARLY_SECONDS = 10.0
KEPT_BYTES = 64 * 1024


class Asker(Protocol):
    """Who can put a question of the upstream to the client of a call."""

    async def ask_one(self, call: Call, envelope: Envelope) -> bytes | None:
        """`{"result": …}` or `{"error": …}`; None for what no client can be asked."""


class Call:
    """One call in flight. It listens to its own request (see `sessions.session.Listener`)."""

    __slots__ = (
        "_deadlines", "_end", "_heard", "_idle", "_pace", "_timed", "about", "asker", "augmented", "client_token",
        "ending", "flush", "head", "level", "max_frame", "number", "publish", "running", "sent", "task",
    )  # fmt: skip

    def __init__(self, head: CallHead, publish: Publish, flush: Flush, max_frame: int, deadlines: Deadlines) -> None:
        self.head = head
        self.max_frame = max_frame
        self.publish = publish
        self.flush = flush
        self.task: asyncio.Task[None] | None = None
        self.ending: Ending = ""
        self.running = False
        self.sent = False
        self.number = 0
        self.client_token = b""
        self.augmented = False
        self.about: TaskIds | None = None
        self.level = head.log_level
        self._end = 0.0
        self._heard = 0.0
        self._idle = head.idle_ms / 1000
        self.asker: Asker | None = None
        self._deadlines = deadlines
        self._timed = False
        self._pace: Pace | None = None

    def start(self, seconds: float) -> None:
        """Its deadlines, from now: the end in so many seconds, and sooner when it stays idle."""
        now = self._deadlines.now()
        self._end, self._heard, self._timed = now + seconds, now, True
        self._deadlines.add(self)

    @property
    def due(self) -> float:
        """When it ends unless something is heard of it before, on the clock of the loop."""
        return min(self._end, self._heard + self._idle) if self._idle else self._end

    def run_out(self) -> None:
        """Its time is up."""
        self.end("timeout" if self.due == self._end else "idle")

    def pause(self) -> None:
        """The client is asked something: its time is not the server's."""
        if self._timed:
            self.settle()
            self._end -= self._deadlines.now()

    def resume(self) -> None:
        """It answered: the rest of the time runs, and the idle time anew."""
        if not self._timed:
            self.start(self._end)

    def settle(self) -> None:
        """No deadline any more, or for the moment."""
        self._timed = False
        self._deadlines.drop(self)

    def end(self, why: Ending) -> None:
        """Stop working on it; the answer will say why."""
        if self.ending:
            return
        self.ending = why
        # A task that is cancelled before its first step runs nothing, not even the answer.
        if self.running and self.task is not None:
            self.task.cancel()

    def written(self) -> None:
        """From here on it may have been executed."""
        self.sent = True

    async def asked(self, envelope: Envelope) -> bytes | None:
        """The upstream asks the client; only on a session that speaks for this client."""
        return None if self.asker is None else await self.asker.ask_one(self, envelope)

    async def paused(self, milliseconds: int) -> None:
        """The upstream wants to be asked again: a client that can do that is told the same."""
        if self.head.era != MODERN:
            head = ReplyHead(self.head.call_id, PAUSED)
            await self.publish(self.head.reply_to, frame(head, b"%d" % milliseconds))

    async def notified(self, envelope: Envelope, raw: bytes) -> None:
        """Pass a notification on to the edge; progress begins the idle time anew.

        A server may say more than the bus carries: it waits for the bus, and others get their turn in between.
        Raises CancelledError when the call is over, which may be because the server said too much.
        """
        now = asyncio.get_running_loop().time()
        pace = self._pace
        if pace is None:
            pace = self._pace = Pace(now)
        if self.ending or not pace.said(len(raw), now):
            self._hush()
            return
        if envelope.method == PROGRESS and is_progress_of(envelope, self.number):
            self._heard = now
        body = forwarded(self.head, envelope, raw, self.number, self.client_token, self.level)
        if body is not None:
            body = news(envelope.method, body, self.about)
        if body is None:
            if pace.passed_on(len(raw)):
                await asyncio.sleep(0)
            return
        for payload in frames(ReplyHead(self.head.call_id, NOTIFICATION), body, self.max_frame):
            await self.publish(self.head.reply_to, payload)
            if pace.passed_on(len(payload)):
                await self.flush()

    def _hush(self) -> None:
        """Nothing more is passed on. A cancellation may have been lost before: the bus client keeps some to itself."""
        if self.task is not None and asyncio.current_task() is self.task:
            self.ending = self.ending or "flooded"
            raise asyncio.CancelledError
        self.flooded()

    def flooded(self) -> None:
        """The server says more during this call than is passed on, or kept until it is: the call ends."""
        self.end("flooded")


class Deadlines:
    """One timer for all calls, set to the first that runs out: a timer of its own for each would cost far more."""

    def __init__(self) -> None:
        self._calls: set[Call] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._set_to = inf

    @cached_property
    def now(self) -> Callable[[], float]:
        """The clock of the loop; to ask for the running loop costs a system call each time."""
        return asyncio.get_running_loop().time

    def add(self, call: Call) -> None:
        """This call has a deadline from now on, or another one."""
        self._calls.add(call)
        due = call.due
        if due < self._set_to:
            self._set(due)

    def drop(self, call: Call) -> None:
        """This call has none."""
        self._calls.discard(call)

    def _set(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._look)
        self._set_to = due

    def _look(self) -> None:
        """The timer was set for a call that may be over by now, or was heard of since."""
        self._timer, self._set_to = None, inf
        now = self.now()
        for call in [call for call in self._calls if call.due <= now]:
            self._calls.discard(call)
            call.run_out()
        if self._calls:
            self._set(min(call.due for call in self._calls))


class Finished(msgspec.Struct, frozen=True, gc=False):
    """The last message of a call, for whoever missed it; None when it was too large to keep."""

    at: float
    reply_to: str
    frame: bytes | None


class InFlight:
    """The table of calls, by their id."""

    def __init__(self) -> None:
        self.calls: dict[str, Call] = {}
        self.deadlines = Deadlines()
        self.idle = asyncio.Event()
        self.idle.set()
        self._finished: OrderedDict[str, Finished] = OrderedDict()  # of a dict, to find the oldest takes ever longer
        self._cancelled: dict[tuple[str, str], float] = {}

    def begin(self, call: Call) -> bool:
        """Take a call in; False when it is here, or was lately: a call is never made twice."""
        call_id = call.head.call_id
        if call_id in self.calls or call_id in self._finished:
            return False
        if not self.calls:
            self.idle.clear()
        self.calls[call_id] = call
        if self._cancelled and self._was_cancelled(call.head):
            call.end("cancelled")
        return True

    def cancel(self, call_id: str, session: str, request_id: str) -> None:
        """Stop a call, by its id or by the client's session and request id.

        A call comes by the router and its cancellation does not, so that may be here first: it is remembered for as
        long as a call may wait for a worker.
        """
        found = self.find(call_id, session, request_id)
        for call in found:
            call.end("cancelled")
        if not found and len(request_id) <= KEPT_ID_CHARACTERS:
            self._cancelled.pop((session, call_id or request_id), None)
            self._cancelled[session, call_id or request_id] = time.monotonic()
            if len(self._cancelled) > KEPT_CALLS:
                del self._cancelled[next(iter(self._cancelled))]

    def _was_cancelled(self, head: CallHead) -> bool:
        keys = (("", head.call_id), (head.session, head.request_id))
        at = max(self._cancelled.pop(key, -EARLY_SECONDS) for key in keys)
        return time.monotonic() - at < EARLY_SECONDS

    def finish(self, call: Call, last: bytes | None) -> None:
        """The call is answered with this frame (None: with more than one)."""
        head, finished = call.head, self._finished
        self.calls.pop(head.call_id, None)
        if not self.calls:
            self.idle.set()
        kept = last if last is not None and len(last) <= KEPT_BYTES else None
        finished[head.call_id] = Finished(time.monotonic(), head.reply_to, kept)
        if len(finished) > KEPT_CALLS:
            finished.popitem(last=False)

    def finished(self, call_id: str) -> Finished | None:
        """The answer of a call that ended within the last 30 s."""
        found = self._finished.get(call_id)
        if found is None or time.monotonic() - found.at > KEPT_SECONDS:
            return None
        return found

    def find(self, call_id: str, session: str, request_id: str) -> list[Call]:
        """The calls meant by an id, or by the client's session and request id."""
        if call_id:
            found = self.calls.get(call_id)
            return [] if found is None else [found]
        if not session or not request_id:
            return []
        return [
            call for call in self.calls.values() if call.head.session == session and call.head.request_id == request_id
        ]
