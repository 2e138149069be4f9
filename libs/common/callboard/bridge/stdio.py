"""Lines from stdin and to stdout, each on a thread of its own: no kind of file or pipe can block the loop.

MCP basic/transports, stdio: one message per line, UTF-8, nothing else on stdout.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import AsyncIterator

_CHUNK = 1 << 16
_READ_AHEAD = 64  # lines
TOO_LONG = b"\0"
"""Stands for a line over the limit; no message begins with this byte."""


class Lines:
    """The lines of a descriptor, without their ends; blank ones are left out."""

    def __init__(self, fd: int, limit: int) -> None:
        self._fd = fd
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._room = threading.Semaphore(_READ_AHEAD)

    def start(self) -> None:
        """Begin to read."""
        threading.Thread(target=self._read, name="stdin", daemon=True).start()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Until the end of the input."""
        while (line := await self._queue.get()) is not None:
            self._room.release()
            yield line

    def _read(self) -> None:
        pieces: list[bytes] = []
        size = 0
        while chunk := self._chunk():
            *lines, rest = chunk.split(b"\n")
            for line in lines:
                whole = b"".join((*pieces, line)) if size + len(line) <= self._limit else TOO_LONG
                pieces, size = [], 0
                if whole.strip():
                    self._deliver(whole)
            size += len(rest)
            if size <= self._limit:
                pieces.append(rest)
            else:
                pieces.clear()
        # What has no line end was not sent completely: the client died within it.
        self._deliver(None)

    def _chunk(self) -> bytes:
        try:
            return os.read(self._fd, _CHUNK)
        except OSError:
            return b""

    def _deliver(self, line: bytes | None) -> None:
        if line is not None:
            self._room.acquire()
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, line)
        except RuntimeError:
            return  # the loop has ended


class Output:
    """Writes messages in the order in which they are given; `closed` is set when nobody reads them any more."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]]] = queue.SimpleQueue()
        self.closed = asyncio.Event()

    def start(self) -> None:
        """Begin to write."""
        threading.Thread(target=self._run, name="stdout", daemon=True).start()

    async def write(self, message: bytes) -> None:
        """One message, on one line; done when it is written, so that a slow client slows down the server."""
        if b"\n" in message or b"\r" in message:
            # In JSON a line break stands only between tokens.
            message = message.replace(b"\r", b" ").replace(b"\n", b" ")
        written: asyncio.Future[None] = self._loop.create_future()
        self._queue.put((message + b"\n", written))
        await written

    def _run(self) -> None:
        while True:
            line, written = self._queue.get()
            broken = not self._put(memoryview(line))
            try:
                self._loop.call_soon_threadsafe(self._done, written, broken)
            except RuntimeError:
                return

    def _put(self, line: memoryview) -> bool:
        try:
            while line:
                line = line[os.write(self._fd, line) :]
        except OSError:
            return False
        return True

    def _done(self, written: asyncio.Future[None], broken: bool) -> None:
        if broken:
            self.closed.set()
        if not written.done():
            written.set_result(None)
