"""How much a server may say during one call; pure. Progress once a second is far below, a flood is soon over it."""

from __future__ import annotations

NOTIFICATIONS = 20_000
PER_SECOND = 200
BYTES = 128 * 1024 * 1024
BYTES_PER_SECOND = 4 * 1024 * 1024
BATCH = 64
BATCH_BYTES = 1024 * 1024


class Pace:
    """Two buckets of one call: so many notifications and bytes at once, and later as many as have run off since."""

    __slots__ = ("_at", "_batch", "_batch_bytes", "_bytes", "_count")

    def __init__(self, now: float) -> None:
        self._at = now
        self._count = 0.0
        self._bytes = 0.0
        self._batch = 0
        self._batch_bytes = 0

    def said(self, size: int, now: float) -> bool:
        """A notification of so many bytes at this time (seconds); False when it is one too many."""
        passed, self._at = now - self._at, now
        self._count = max(0.0, self._count - passed * PER_SECOND) + 1
        self._bytes = max(0.0, self._bytes - passed * BYTES_PER_SECOND) + size
        return self._count <= NOTIFICATIONS and self._bytes <= BYTES

    def passed_on(self, size: int) -> bool:
        """A message of so many bytes went out; whether it is time to give way to others."""
        self._batch += 1
        self._batch_bytes += size
        if self._batch < BATCH and self._batch_bytes < BATCH_BYTES:
            return False
        self._batch = self._batch_bytes = 0
        return True
