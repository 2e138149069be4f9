"""Send a call on to whoever holds its server, with the edge's inbox to answer to.

Two inboxes: one of the router's own is the NATS reply, so that "no responders" comes back here at once; the edge's
travels in the head, so that the result does not pass through the router. Nobody holds the server: connectors
are asked to place it, and the call, which nobody has seen yet, is sent again until they did or time is up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec
import structlog

from callboard.contracts import subjects
from callboard.contracts.calls import TASK_METHODS, CallHead, frame
from callboard.contracts.problems import Problem
from callboard.contracts.upstreams import PlaceServer
from callboard.platform.bus import Bus
from callboard.platform.bus_wire import NO_RESPONDERS

log = structlog.get_logger()
SWEEP_SECONDS = 0.25
Refuse = Callable[[CallHead, int, Problem], None]


class _Pending(msgspec.Struct, gc=False):
    """A call that was sent. A struct is made without a frame of Python, and the collector need not look at it."""

    head: CallHead
    holder: str
    subject: str
    payload: bytes
    started: float
    pause: float = 0.02


class Forwarder:
    """Forwards calls and remembers each for as long as "no responders" may still come."""

    def __init__(self, bus: Bus, placement_wait: float, refuse: Refuse) -> None:
        self._bus = bus
        self._placement_wait = placement_wait
        self._refuse = refuse
        self._prefix = f"{subjects.RETURNED}.{bus.instance}"
        self._cut = len(self._prefix) + 1
        self._next = 0
        self._pending: dict[int, _Pending] = {}
        self._retries: set[asyncio.Task[None]] = set()
        self._oldest = 0
        self._sweep: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen for "no responders"."""
        await self._bus.hear(f"{self._prefix}.*", self._returned)

    def forward(self, head: CallHead, params: bytes, holder: str = "") -> None:
        """Send one call; with a holder it goes on with the call which that worker holds."""
        subject = subjects.held(holder) if holder else subjects.call(head.organisation, head.server)
        self._send(_Pending(head, holder, subject, frame(head, params), time.monotonic()))

    def _send(self, pending: _Pending) -> None:
        key = self._next = self._next + 1
        self._pending[key] = pending
        if self._sweep is None:
            self._sweep = asyncio.create_task(self._forget_sent())
        self._bus.send(pending.subject, pending.payload, f"{self._prefix}.{key}")

    async def _forget_sent(self) -> None:
        """While there are calls: forget those that the server has dealt with, from which nothing comes back any more.

        "No responders" comes before the answer to a flush that was sent after the call.
        """
        while self._pending:
            await asyncio.sleep(SWEEP_SECONDS)
            sent = self._next
            # Twice: what is waiting to be written may be overtaken by the first, see `Bus.settled`.
            if await self._bus.flush() and await self._bus.flush():
                forget = self._pending.pop
                for key in range(self._oldest + 1, sent + 1):
                    forget(key, None)
                self._oldest = sent
        self._sweep = None

    def _returned(self, subject: str, _: str, data: bytes, headers: bytes) -> None:
        if data or not headers.startswith(NO_RESPONDERS):
            return
        pending = self._pending.pop(int(subject[self._cut :]), None)
        if pending is not None:
            task = asyncio.create_task(self._place_and_resend(pending))
            self._retries.add(task)
            task.add_done_callback(self._retries.discard)

    async def _place_and_resend(self, pending: _Pending) -> None:
        head = pending.head
        if pending.holder and head.method in TASK_METHODS:
            # The server may still know the task, whoever asks.
            pending.holder, pending.subject = "", subjects.call(head.organisation, head.server)
            self._send(pending)
            return
        if pending.holder:
            self._refuse(head, len(pending.payload), holder_gone(head))
            return
        waited = time.monotonic() - pending.started
        left = min(self._placement_wait - waited, head.deadline / 1000 - time.time())
        if left <= 0:
            self._refuse(head, len(pending.payload), nobody_holds(head))
            return
        await self._bus.tell(subjects.PLACE, PlaceServer(organisation=head.organisation, server=head.server))
        await asyncio.sleep(min(pending.pause, left))
        pending.pause = min(pending.pause * 2, 0.5)
        self._send(pending)


def holder_gone(head: CallHead) -> Problem:
    """The worker that held the call is not there any more, and with it the upstream's call."""
    return Problem(
        "call.held_lost",
        f"the worker that held this call of server {head.server!r} is gone, and the call with it",
        server=head.server,
        call_id=head.call_id,
    )


def nobody_holds(head: CallHead) -> Problem:
    """No connector took the server in time; the call was not sent."""
    return Problem(
        "server.unavailable",
        f"no connector holds server {head.server!r} right now; the call was not sent",
        server=head.server,
        call_id=head.call_id,
    )
