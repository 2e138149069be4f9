"""Spans of what is sampled, handed to a thread that sends them to an OpenTelemetry collector (OTLP over HTTP).

Whether something is sampled is decided once, where it enters (`Traces.begin`, or the caller's own flag); from there on
the flag of its traceparent says so. A span is made when its work is over, from what is known then, so that nothing is
kept of it meanwhile but its ids. What cannot be sent in time is dropped and counted: tracing waits for nobody, and
nobody waits for tracing. Names: `span_names.py`. Below: `otlp.py`, which only that thread imports.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar, copy_context
from typing import Literal, NamedTuple, Protocol

import structlog

from callboard.platform.settings import CommonSettings
from callboard.platform.telemetry import new_traceparent

log = structlog.get_logger()
MOST_WAITING = 4096
"""Spans that wait to be sent; each has about a kilobyte."""
MOST_AT_ONCE = 512
PAUSE = 0.25
"""Seconds in which a batch comes together."""
NO_PARENT = "0" * 16
_ODD = frozenset("13579bdf")
_chance = random.Random()

Kind = Literal["server", "client", "internal"]
Attributes = Mapping[str, str | int]


class Span(NamedTuple):
    """One piece of work. `traceparent` is that of the span itself; times are epoch nanoseconds.

    `parent`: the traceparent it came with (its span id is all zeros for the first of a trace). `fault`: `error.type`
    of OpenTelemetry; empty when the work was done.
    """

    traceparent: str
    parent: str
    name: str
    kind: Kind
    began: int
    ended: int
    attributes: Attributes
    fault: str = ""


class Sender(Protocol):
    """What sends spans; used by one thread."""

    def send(self, spans: Sequence[Span]) -> bool:
        """Whether the collector has taken them; takes as long as it takes."""

    def give_up(self) -> None:
        """Called by another thread: end a `send` that waits before it tries again."""


Connect = Callable[[], Sender]


class Traces:
    """The spans of one process on their way out."""

    def __init__(self, connect: Connect, share: float) -> None:
        self._connect = connect
        self._share = share
        self._waiting: deque[Span] = deque()
        self._something = threading.Event()
        self._closing = threading.Event()
        self._sender: Sender | None = None
        self._crowded_out = 0
        self._unsent = 0
        self._sending = 0
        self._abandoned = False
        self.exported = 0
        # The thread's log lines name the room and the instance too.
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name="traces", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Spans that no collector will ever see."""
        return self._crowded_out + self._unsent

    @property
    def figures(self) -> dict[str, float]:
        """For the status of the instance."""
        return {"spans_exported": float(self.exported), "spans_dropped": float(self.dropped)}

    def begin(self) -> str:
        """The traceparent of something that comes without one: sampled by chance, and then without a parent."""
        fresh = new_traceparent()
        return fresh if _chance.random() >= self._share else f"{fresh[:36]}{NO_PARENT}-01"

    def note(self, span: Span) -> None:
        """Take a span; never waits."""
        if len(self._waiting) >= MOST_WAITING or self._closing.is_set():
            self._crowded_out += 1
            return
        self._waiting.append(span)
        self._something.set()

    async def close(self, within: float) -> None:
        """Send what waits, for so many seconds at most; the rest is dropped."""
        self._closing.set()
        self._something.set()
        await asyncio.to_thread(self._thread.join, within)
        if self._thread.is_alive():
            self._abandoned = True
            if self._sender is not None:
                self._sender.give_up()
            self._crowded_out += len(self._waiting) + self._sending
            self._waiting.clear()
        if self.dropped:
            log.warning("spans_dropped", dropped=self.dropped, exported=self.exported)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._something.wait()
            self._something.clear()
            self._closing.wait(PAUSE)
            while self._waiting and not self._abandoned:
                batch = [self._waiting.popleft() for _ in range(min(MOST_AT_ONCE, len(self._waiting)))]
                self._sending = len(batch)
                self._send(batch)
                self._sending = 0

    def _send(self, batch: Sequence[Span]) -> None:
        was_away = self._unsent > 0
        try:
            if self._sender is None:
                self._sender = self._connect()
            taken = self._sender.send(batch)
        except Exception:
            # Whatever it is, the room goes on, and so does this thread.
            log.exception("span_export_failed")
            taken = False
        if self._abandoned:
            return  # it was counted when it was given up
        if taken:
            self.exported += len(batch)
            return
        self._unsent += len(batch)
        if not was_away:
            log.warning("spans_not_exported", dropped=len(batch))


def open_traces(room: str, instance: str, settings: CommonSettings) -> Traces | None:
    """The traces of a room; None, and no cost, without a collector."""
    endpoint = settings.otlp_endpoint
    if not endpoint:
        return None

    def connect() -> Sender:
        # Here and not at the top: it brings a library for HTTP and one for protobuf, and would delay every start.
        from callboard.platform.otlp import OtlpSender

        return OtlpSender(endpoint, room, instance)

    return Traces(connect, settings.trace_share)


def is_sampled(traceparent: str) -> bool:
    """The sampled flag, the lowest bit of a traceparent."""
    return traceparent[-1:] in _ODD


_CURRENT: ContextVar[str] = ContextVar("traceparent", default="")
current = _CURRENT.get
"""The traceparent of what this task does, where that is sampled; else empty."""


def follow(traceparent: str) -> None:
    """From here on, in this task and in those that it starts."""
    _CURRENT.set(traceparent)


@contextlib.contextmanager
def following(traceparent: str) -> Iterator[None]:
    """The same for a part of a task."""
    token = _CURRENT.set(traceparent)
    try:
        yield
    finally:
        _CURRENT.reset(token)
