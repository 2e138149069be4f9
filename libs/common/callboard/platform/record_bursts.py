"""Call records leave in bursts: one message holds what a room recorded of a playbook within some milliseconds.

A message of its own for each record wakes NATS, its stream and a writer of the call log once per call, which costs more
than all they do with it. Above: what ends a call. Below: `Bus.send`, which keeps what comes while NATS is away up to
its bound, and logs what it cannot keep. What kills the process takes the records of the last `BURST_SECONDS` along.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

BURST_SECONDS: Final = 0.02
"""How old a record gets before it leaves."""
BURST_RECORDS: Final = 256
BURST_BYTES: Final = 256 * 1024
"""A burst leaves before it is larger than this; a record that is larger by itself goes alone."""


class Sender(Protocol):
    """As much of the bus as is needed here."""

    @property
    def max_payload(self) -> int:
        """The server's limit for one message, in bytes."""

    def send(self, subject: str, payload: bytes) -> None:
        """Publish without waiting."""


class _Burst:
    """What waits for one subject: records, and the bytes that still fit in."""

    __slots__ = ("free", "records")

    def __init__(self, free: int) -> None:
        self.records: list[bytes] = []
        self.free = free


class RecordBursts:
    """Collects encoded records by subject and sends them as lines, with one timer for all."""

    def __init__(self, bus: Sender) -> None:
        self._bus = bus
        self._bursts: dict[str, _Burst] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def add(self, subject: str, record: bytes) -> None:
        """Have a record sent within `BURST_SECONDS`, after those of its subject that came before. Never waits."""
        burst = self._bursts.get(subject)
        size = len(record) + 1
        if burst is not None and size > burst.free:
            self._leave(subject)
            burst = None
        if burst is None:
            burst = self._bursts[subject] = _Burst(min(BURST_BYTES, self._bus.max_payload))
        burst.records.append(record)
        burst.free -= size
        if self._closed or burst.free <= 0 or len(burst.records) >= BURST_RECORDS:
            self._leave(subject)
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BURST_SECONDS, self._leave_all)

    def close(self) -> None:
        """Send what waits, and from now on every record at once: the room stops, and its bus with it."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._leave_all()

    def _leave_all(self) -> None:
        self._timer = None
        for subject in tuple(self._bursts):
            self._leave(subject)

    def _leave(self, subject: str) -> None:
        self._bus.send(subject, b"\n".join(self._bursts.pop(subject).records))
