"""Newline-delimited JSON to and from a child: lines out with back-pressure, lines in within a bound."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from typing import IO, Any

import structlog

from callboard_connectors.transports.child import Child
from callboard_connectors.transports.failures import TransportFailure

log = structlog.get_logger()

_LOGGED_LINE = 400
_LOGGED_LINES = 40
_LOGGED_EVERY = 10.0


class Chatter:
    """What a server says beside the protocol, into our log: short lines, not many, and no secret."""

    def __init__(self, server: str, event: str, secrets: Iterable[str]) -> None:
        self._server = server
        self._event = event
        self._secrets = tuple(secret for secret in secrets if secret)
        self._since = 0.0
        self._count = 0

    def line(self, raw: bytes) -> None:
        """Log one line, unless there were too many lately."""
        now = time.monotonic()
        if now - self._since > _LOGGED_EVERY:
            self._since, self._count = now, 0
        self._count += 1
        if self._count > _LOGGED_LINES:
            return
        text = raw[: _LOGGED_LINE * 4].decode("utf-8", "replace")
        for secret in self._secrets:
            text = text.replace(secret, "[redacted]")
        log.info(self._event, server=self._server, line=text[:_LOGGED_LINE])


class _Lines(asyncio.Protocol):
    """Splits what a pipe delivers into lines; `too_long` is called once when one is over the limit."""

    def __init__(self, take: Callable[[bytes], None], limit: int, too_long: Callable[[], None]) -> None:
        self._take = take
        self._limit = limit
        self._too_long = too_long
        self._held: list[bytes] = []
        self._size = 0
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        if lines:
            if self._held:
                lines[0] = b"".join((*self._held, lines[0]))
                self._held.clear()
                self._size = 0
            for line in lines:
                if line:
                    self._take(line)
        if rest:
            self._held.append(rest)
            self._size += len(rest)
            if self._size > self._limit:
                self._held.clear()
                self._size = 0
                self._too_long()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()


class _Input(asyncio.BaseProtocol):
    """The child's stdin: says when it takes no more for now."""

    def __init__(self) -> None:
        self.writable = asyncio.Event()
        self.writable.set()
        self.closed = False

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.writable.set()


def _handed_over(pipe: IO[bytes] | None, loop: asyncio.AbstractEventLoop) -> IO[bytes]:
    """The pipe as a file that is closed exactly once.

    uvloop closes the descriptor and then the file, which closes the number again: by then it may be somebody else's.
    So it gets a file that does not close its descriptor; asyncio's own loop closes only the file.
    """
    assert pipe is not None
    mode = "rb" if pipe.readable() else "wb"
    own = not type(loop).__module__.startswith("uvloop")
    duplicate = os.dup(pipe.fileno())
    pipe.close()
    return open(duplicate, mode, buffering=0, closefd=own)  # the transport closes it


class StdioLink:
    """The pipes of one child, as a `sessions.pipe_session.Pipe`: what stands on stdout is not always a message."""

    transport = "stdio"

    def __init__(self, child: Child, limit: int, noise: Chatter, stderr: Chatter) -> None:
        self.child = child
        self._limit = limit
        self._noise = noise
        self._stderr = stderr
        self._input = _Input()
        self._transports: list[Any] = []
        self._writer: Any = None
        self._watch: asyncio.Task[None] | None = None
        self._fault = ""

    async def open(self, take: Callable[[bytes], None], ended: Callable[[str], None]) -> None:
        """Connect the pipes to the event loop. `take` gets every line of stdout, in order."""
        loop, process = asyncio.get_running_loop(), self.child.process
        self._writer, _ = await loop.connect_write_pipe(lambda: self._input, _handed_over(process.stdin, loop))
        out, _ = await loop.connect_read_pipe(
            lambda: _Lines(take, self._limit, self._overflow), _handed_over(process.stdout, loop)
        )
        err, _ = await loop.connect_read_pipe(
            lambda: _Lines(self._stderr.line, 65536, lambda: None), _handed_over(process.stderr, loop)
        )
        self._transports = [self._writer, out, err]
        self._watch = asyncio.create_task(self._watch_end(ended))

    async def _watch_end(self, ended: Callable[[str], None]) -> None:
        await self.child.ended.wait()
        # Give way once, so that answers that are still in the pipe are taken first.
        await asyncio.sleep(0)
        ended(self._reason())

    def _overflow(self) -> None:
        self._fault = f"it sent a line of more than {self._limit} bytes"
        self.child.process.kill()

    async def write(self, message: bytes, written: Callable[[], None]) -> None:
        """Write one message; waits while the child does not read. Raises `TransportFailure` (not sent)."""
        while not self._input.writable.is_set():
            await self._input.writable.wait()
        if self._input.closed or self.child.ended.is_set():
            raise TransportFailure(self._reason(), sent=False)
        # A line break between two tokens of the caller's JSON would end the message; inside a text it cannot be.
        if b"\n" in message or b"\r" in message:
            message = message.replace(b"\n", b" ").replace(b"\r", b" ")
        self._writer.write(message + b"\n")
        written()

    def foreign(self, line: bytes) -> None:
        """A line that is no message: somebody prints where only the protocol should."""
        self._noise.line(line)

    def _reason(self) -> str:
        """Why there is no answer any more."""
        return self._fault or self.child.how_it_ended()

    async def close(self) -> None:
        """Stop the child and let go of its pipes."""
        if self._writer is not None:
            # A child that does not read would keep a polite close waiting.
            if self._writer.get_write_buffer_size():
                self._writer.abort()
            else:
                self._writer.close()
        await self.child.stop()
        for transport in self._transports:
            transport.close()
        if self._watch is not None:
            self._watch.cancel()
