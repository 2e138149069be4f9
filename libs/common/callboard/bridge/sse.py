"""An incremental parser of `text/event-stream` (WHATWG HTML, section 9.2), bounded; pure."""

from __future__ import annotations

from typing import NamedTuple


class Event(NamedTuple):
    """One event; `id` is None and `retry` (milliseconds) is 0 where the event did not say."""

    data: bytes
    id: str | None = None
    retry: int = 0


class TooLarge(Exception):
    """An answer or an event is over the limit."""


class Events:
    """Feed it what comes; each call returns the events that are complete. `limit` is in bytes of one event."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pending: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._at_start = True
        self._data: list[bytes] = []
        self._id: str | None = None
        self._retry = 0

    def feed(self, chunk: bytes) -> list[Event]:
        """Raises `TooLarge`."""
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        self._size += len(chunk)
        found: list[Event] = []
        *lines, rest = _lines(chunk)
        if lines:
            lines[0] = b"".join((*self._pending, lines[0]))
            self._pending.clear()
            self._after_cr = not rest and chunk.endswith(b"\r")
            for line in lines:
                self._line(line, found)
            self._size = len(rest) + sum(map(len, self._data))
        if rest:
            self._pending.append(rest)
        if self._size > self._limit:
            raise TooLarge
        return found

    def _line(self, line: bytes, found: list[Event]) -> None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            if self._data or self._id is not None or self._retry:
                found.append(Event(b"\n".join(self._data), self._id, self._retry))
            self._data, self._id, self._retry = [], None, 0
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"id" and b"\0" not in value:
            self._id = value.decode("latin-1")
        elif field == b"retry" and value.isdigit():
            self._retry = int(value[:9])


def _lines(chunk: bytes) -> list[bytes]:
    """The lines of a chunk without their ends; the last is what has not ended yet."""
    if b"\r" not in chunk:
        return chunk.split(b"\n")
    found = chunk.splitlines(keepends=True)
    rest = found.pop() if found and found[-1][-1:] not in (b"\n", b"\r") else b""
    return [*(line.rstrip(b"\r\n") for line in found), rest]
