"""One request of a client as one message on the bus, and what comes back to this instance's inbox.

One wildcard inbox for all calls and no timer per call: a sweep twice a second ends calls whose deadline passed, asks
the connectors about calls that have gone silent, and lets waiting streams send a ping.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import nats.errors
import structlog

from callboard.contracts import subjects
from callboard.contracts.calls import (
    CHUNK,
    ERROR,
    NOTIFICATION,
    PAUSED,
    REQUEST,
    RESULT,
    AnswerHead,
    AskCallHeld,
    CallRecord,
    CancelCall,
    ReplyHead,
    RpcHead,
    encode_record,
    frame,
    unframe_reply,
)
from callboard.contracts.problems import Problem
from callboard.kernel.call_ids import new_call_id
from callboard.platform.bus import Bus, encode
from callboard.platform.bus_wire import NO_RESPONDERS
from callboard.platform.telemetry import new_traceparent
from callboard.platform.traces import is_sampled
from callboard_edge.mcp.answers import problem_object

log = structlog.get_logger()
SWEEP = 0.5
TICK = -1
"""Kind of the message that wakes a waiting answer so that it can send a ping."""
WATCH = -2
"""Kind of the message that says once: this call takes longer, look whether the client is still there."""
PING_AFTER = 10.0
ASK_WAIT = 1.0
MAX_WAITING = 16 * 1024 * 1024
"""Bytes of messages of one call that wait because its client does not read them."""
ANSWER_SECONDS = 600.0
"""How long a client may take to answer a question of the upstream."""
TOKEN_ENDED = "the token was revoked or has expired"
_TICK = (ReplyHead("", TICK), b"")
_WATCH = (ReplyHead("", WATCH), b"")


class Call:
    """One call in flight at this edge."""

    __slots__ = (
        "asked", "chunks", "deadline", "expires", "head", "heard", "key", "messages", "organisation", "pinged",
        "playbook", "resumable", "waiter", "waiting", "watched",
    )  # fmt: skip

    def __init__(
        self, key: int, head: RpcHead, organisation: str, playbook: str, now: float, expires: float | None = None
    ) -> None:
        self.key = key
        self.head = head
        self.organisation = organisation
        self.playbook = playbook
        self.deadline = now + head.deadline / 1000 - time.time()
        self.expires = math.inf if expires is None else now + expires - time.time()
        self.heard = now
        self.asked = now
        self.pinged = now
        self.watched = False
        self.resumable = False
        self.messages: deque[tuple[ReplyHead, bytes]] = deque()
        self.chunks: list[bytes] = []
        self.waiting = 0
        self.waiter: asyncio.Future[None] | None = None

    async def next(self) -> tuple[ReplyHead, bytes]:
        """The next message: NOTIFICATION, REQUEST, PAUSED, TICK or WATCH, and last RESULT or ERROR."""
        if not self.messages:
            await self.arrival()
        return self.take()

    def arrival(self) -> asyncio.Future[None]:
        """Done when a message has come; for whoever has found that none is there."""
        self.waiter = asyncio.get_running_loop().create_future()
        return self.waiter

    def take(self) -> tuple[ReplyHead, bytes]:
        """A message that has come."""
        message = self.messages.popleft()
        self.waiting -= len(message[1])
        return message

    def put(self, head: ReplyHead, body: bytes) -> None:
        """A message has come."""
        self.messages.append((head, body))
        self.waiting += len(body)
        waiter = self.waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def fail(self, problem: Problem) -> None:
        """End the call with a problem of ours."""
        error = problem_object(problem, self.head.call_id)
        self.put(ReplyHead(self.head.call_id, ERROR, problem.code), error)

    def over(self) -> None:
        """Nobody waits for it any more; for calls that are traced."""


class Tracing(NamedTuple):
    """What a sampled call is made with, and the traceparent of a request that has none."""

    make: Callable[[bytes, int, RpcHead, str, str, float, float | None], Call]
    begin: Callable[[], str]


class Calls:
    """All calls in flight at this edge."""

    def __init__(self, bus: Bus, silence: float, let_go: float = 0.0, tracing: Tracing | None = None) -> None:
        self._bus = bus
        self._tracing = tracing
        self.new_traceparent = new_traceparent if tracing is None else tracing.begin
        self._silence = silence
        self._let_go = min(let_go or PING_AFTER, PING_AFTER)
        self._prefix = bus.new_inbox()
        self._cut = len(self._prefix) + 1
        self._keys: Iterator[int] = itertools.count(1)
        self._calls: dict[int, Call] = {}
        self._process = os.urandom(4).hex()
        self._asking: set[asyncio.Task[None]] = set()
        self._reached: dict[str, int] = {}

    def told(self, organisation: str, seq: int) -> None:
        """Agents hear of this state of an organisation's log: no request of theirs is answered from an earlier one."""
        self._reached[organisation] = max(seq, self._reached.get(organisation, 0))

    def reached(self, organisation: str) -> int:
        """For the head of a request: what agents were told of."""
        return self._reached.get(organisation, 0)

    @property
    def in_flight(self) -> int:
        """Number of calls waiting for an answer."""
        return len(self._calls)

    def all(self) -> Iterator[Call]:
        """Every call that waits for an answer."""
        yield from self._calls.values()

    def new_id(self, now_us: int) -> str:
        """A call id: milliseconds, this process, a number; sorts by time."""
        return new_call_id(now_us, self._process, next(self._keys))

    async def start(self) -> None:
        """Listen to the inbox."""
        await self._bus.hear(f"{self._prefix}.*", self._received)

    async def send(
        self, head: RpcHead, organisation: str, playbook: str, params: bytes, expires: float | None = None
    ) -> Call:
        """Send a request to the router; the caller must `forget` the call when it has its answer.

        `expires`: when the token of whoever asked does, in epoch seconds; the call does not outlive it.
        """
        key = next(self._keys)
        if self._tracing is not None and is_sampled(head.traceparent):
            call = self._tracing.make(params, key, head, organisation, playbook, time.monotonic(), expires)
            head = call.head
        else:
            call = Call(key, head, organisation, playbook, time.monotonic(), expires)
        self._calls[key] = call
        try:
            subject, payload, inbox = subjects.rpc(organisation, playbook), frame(head, params), f"{self._prefix}.{key}"
            if not self._bus.put(subject, payload, inbox):
                await self._bus.publish(subject, payload, inbox)
        except (nats.errors.Error, OSError) as error:
            reason = type(error).__name__
            call.fail(Problem("bus.unavailable", f"the request could not be sent ({reason})"))
        return call

    def forget(self, call: Call) -> None:
        """Nobody waits for this call any more."""
        found = self._calls.pop(call.key, None)
        if self._tracing is not None and found is not None:
            found.over()

    def end_all(self) -> None:
        """This instance stops: whoever still waits learns that the outcome will not be known here."""
        for call in self._calls.values():
            text = "Callboard stopped before the answer came; the call may or may not have been executed"
            call.fail(Problem("call.outcome_unknown", text))

    async def cancel(self, call: Call, reason: str) -> None:
        """Tell whoever works on the call to stop."""
        await self._bus.tell(subjects.CANCEL, _cancel(call, reason))

    async def close_key(self, key_id: str) -> None:
        """End the calls that were made with a token: it was revoked."""
        for call in [call for call in self._calls.values() if call.head.principal == key_id]:
            await self._give_up(call, TOKEN_ENDED, Problem("call.cancelled", TOKEN_ENDED))

    async def _give_up(self, call: Call, reason: str, problem: Problem) -> None:
        """Whoever works on it is to stop, and the client is told."""
        await self.cancel(call, reason)
        call.fail(problem)
        self.forget(call)

    async def cancel_request(self, session: str, request_id: str, reason: str) -> None:
        """The same for a request of a session, which may be waited for at any edge."""
        message = CancelCall(session=session, request_id=request_id, reason=reason)
        await self._bus.tell(subjects.CANCEL, message)

    async def answer(self, worker: str, head: AnswerHead, body: bytes) -> None:
        """Hand what a client answered to the worker that asked."""
        await self._bus.publish(subjects.answer(worker), frame(head, body))

    def _received(self, subject: str, _: str, data: bytes, headers: bytes) -> None:
        call = self._calls.get(int(subject[self._cut :]))
        if call is None:
            return
        if not data:
            if headers.startswith(NO_RESPONDERS):
                call.fail(Problem("bus.unavailable", "no router is running; the request was not sent"))
            return
        head, body = unframe_reply(data)
        call.heard = time.monotonic()
        if head.kind >= CHUNK:
            if head.kind == CHUNK:
                call.chunks.append(body)
                return
            if head.kind == REQUEST:
                # A person answers: the time that this takes is not the upstream's.
                call.deadline = max(call.deadline, call.heard + ANSWER_SECONDS)
            elif head.kind == PAUSED and not call.resumable:
                return
        if call.chunks and head.kind < CHUNK:
            body = b"".join((*call.chunks, body))
            call.chunks.clear()
        call.put(head, body)
        if call.waiting - len(body) > MAX_WAITING and head.kind == NOTIFICATION:  # one alone may be larger
            self.forget(call)
            call.messages.clear()
            self._bus.send(subjects.CANCEL, encode(_cancel(call, "more than the client reads")))
            call.fail(Problem("call.cancelled", "the call says more, and faster, than the client has read so far"))

    async def sweep(self) -> None:
        """Twice a second until cancelled."""
        while True:
            await asyncio.sleep(SWEEP)
            now = time.monotonic()
            for call in list(self._calls.values()):
                await self._look_after(call, now)

    async def _look_after(self, call: Call, now: float) -> None:
        if now > call.deadline:
            text = "the call did not finish before its deadline"
            await self._give_up(call, "deadline", Problem("call.deadline_exceeded", text))
            return
        if now > call.expires:
            await self._give_up(call, TOKEN_ENDED, Problem("call.cancelled", TOKEN_ENDED))
            return
        silent = now - call.heard
        if silent > self._silence and now - call.asked > self._silence:
            call.asked = now
            task = asyncio.create_task(self._ask_who_holds(call))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        # `pinged` is when it began. A stream that can be resumed is not opened for a call that is nearly done.
        if not call.watched and (not call.resumable or now - call.pinged >= SWEEP):
            call.watched = True
            call.put(*_WATCH)
        ping_after = self._let_go if call.resumable else PING_AFTER
        if silent > ping_after and now - call.pinged > ping_after:
            call.pinged = now
            call.put(*_TICK)

    async def _ask_who_holds(self, call: Call) -> None:
        """A call that nobody holds is lost: say so now and not at the deadline."""
        question = encode(AskCallHeld(call_id=call.head.call_id))
        for _ in range(2):
            try:
                await self._bus.client.request(subjects.CALL_HELD, question, timeout=ASK_WAIT)
                return
            except (nats.errors.Error, TimeoutError):
                if not self._bus.connected:
                    return
        if call.key in self._calls and time.monotonic() - call.heard > self._silence:
            problem = Problem(
                "call.outcome_unknown", "the call was lost on its way; it may or may not have been executed"
            )
            call.fail(problem)
            await self._record_unknown(call)

    async def _record_unknown(self, call: Call) -> None:
        head = call.head
        record = CallRecord(
            call_id=head.call_id,
            organisation=call.organisation,
            playbook=call.playbook,
            version=head.version,
            method=head.method,
            server="",
            tool="",
            upstream_name="",
            digest="",
            client=head.client,
            principal=head.principal,
            era=head.era,
            outcome="unknown",
            problem="call.outcome_unknown",
            started_at=datetime.fromtimestamp(head.received / 1e6, UTC),
            total_us=time.time_ns() // 1000 - head.received,
            trace_id=head.traceparent[3:35],
            replay_of=head.replay_of,
        )
        await self._bus.publish(subjects.record(call.organisation, call.playbook), encode_record(record))


def _cancel(call: Call, reason: str) -> CancelCall:
    return CancelCall(call_id=call.head.call_id, reason=reason)


__all__ = ["ERROR", "NOTIFICATION", "RESULT", "TICK", "TOKEN_ENDED", "WATCH", "Call", "Calls"]
