"""Spans of folding: how long after a sampled command its events were in a read model.

The hint that wakes this room says which `seq` the command reached, and its headers say the trace. Whoever finds out
without a hint (by the sweep) has no trace to put it in. Above: `fold.py`.
"""

from __future__ import annotations

import time

import msgspec
from nats.aio.msg import Msg

from callboard.contracts.status import LogHint
from callboard.platform.span_names import ORGANISATION, PROJECTION, SEQ
from callboard.platform.telemetry import child_traceparent
from callboard.platform.traced_bus import HEADER
from callboard.platform.traces import Span, Traces, is_sampled

MOST = 1000
"""Organisations of which it remembers that something is to come."""
_hint = msgspec.json.Decoder(LogHint).decode


class FoldSpans:
    """What one projection was told of and has not folded yet, by organisation."""

    def __init__(self, traces: Traces, projection: str) -> None:
        self._traces = traces
        self._projection = projection
        self._expected: dict[str, tuple[int, str]] = {}

    def hinted(self, message: Msg) -> None:
        """Somebody appended, perhaps for a command that is sampled."""
        parent = (message.headers or {}).get(HEADER, "")
        if is_sampled(parent):
            hint = _hint(message.data)
            if len(self._expected) >= MOST:
                self._expected.clear()
            self._expected[hint.organisation] = (hint.seq, parent)

    def folded(self, organisation: str, after: int, upto: int, began: int) -> None:
        """The events after one `seq` up to another are in the tables; `began` in epoch nanoseconds."""
        seq, parent = self._expected.get(organisation, (0, ""))
        if not parent or seq > upto:
            return
        del self._expected[organisation]
        if seq <= after:
            return  # another instance did it
        own, name = child_traceparent(parent), f"fold {self._projection}"
        told: dict[str, str | int] = {PROJECTION: self._projection, ORGANISATION: organisation, SEQ: seq}
        self._traces.note(Span(own, parent, name, "internal", began, time.time_ns(), told))
