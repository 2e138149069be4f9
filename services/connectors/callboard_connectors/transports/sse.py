"""An incremental parser of `text/event-stream` (WHATWG HTML, section 9.2); pure, and bounded."""

from __future__ import annotations

from typing import NamedTuple


class ServerEvent(NamedTuple):
    """One event. `id` and `retry` (milliseconds) are None when the event did not carry them."""

    data: bytes
    event: str = "message"
    id: str | None = None
    retry: int | None = None


class TooLarge(Exception):
    """An event, or what came of it so far, is over the limit."""


class EventParser:
    """Feed it chunks as they come; each call returns the events that were completed."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._line: list[bytes] = []  # pieces of a line that has not ended
        self._size = 0  # bytes held of the event in progress
        self._skip_lf = False
        self._first = True
        self._reset()

    def _reset(self) -> None:
        self._data: list[bytes] = []
        self._event = "message"
        self._id: str | None = None
        self._retry: int | None = None
        self._size = 0

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """The events completed by this chunk; raises `TooLarge`."""
        if self._skip_lf and chunk:
            self._skip_lf = False
            if chunk[:1] == b"\n":
                chunk = chunk[1:]
        if not chunk:
            return []
        self._size += len(chunk)
        if b"\n" not in chunk and b"\r" not in chunk:
            self._hold(chunk)
            return []
        events: list[ServerEvent] = []
        lines = chunk.splitlines(keepends=True)
        last = lines.pop() if lines[-1][-1:] not in (b"\n", b"\r") else b""
        self._skip_lf = not last and chunk[-1:] == b"\r"
        for line in lines:
            if self._line:
                line = b"".join((*self._line, line))
                self._line.clear()
            self._take(line.rstrip(b"\r\n"), events)
        if last:
            self._hold(last)
        elif self._size > self._limit:
            raise TooLarge
        return events

    def _hold(self, piece: bytes) -> None:
        self._line.append(piece)
        if self._size > self._limit:
            raise TooLarge

    def _take(self, line: bytes, events: list[ServerEvent]) -> None:
        if self._first:
            self._first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            self._dispatch(events)
            return
        field, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._event = value.decode("utf-8", "replace") or "message"
        elif field == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif field == b"retry" and value.isdigit():
            self._retry = int(value[:9])

    def _dispatch(self, events: list[ServerEvent]) -> None:
        if self._data or self._id is not None or self._retry is not None:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            events.append(ServerEvent(data, self._event, self._id, self._retry))
        self._reset()


class LineParser:
    """The same shape for servers that send one JSON message per line where events belong."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """The lines completed by this chunk; raises `TooLarge`."""
        *lines, rest = chunk.split(b"\n")
        if lines:
            lines[0] = b"".join((*self._held, lines[0]))
            self._held.clear()
            self._size = 0
        if rest:
            self._held.append(rest)
            self._size += len(rest)
            if self._size > self._limit:
                raise TooLarge
        return [ServerEvent(line) for line in lines if line.strip()]
