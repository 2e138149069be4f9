"""uvicorn writes the head of an answer and its body one after the other: two packets, and two ways into the kernel.

Here the head of an answer of known length waits for its body. Who has a whole answer at once gives it to the cycle
itself (`cycle_of`), without ASGI messages, and gets a body that is there already in the same way. And a body that does
not come is waited for for a while only, with a timer for those that are not here yet. Above: uvicorn's HTTP protocol
(`stalled.HttpProtocol`), and for answers in one piece `mcp/answers.py`.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

BODY_SECONDS = 30.0
Lines = tuple[tuple[bytes, bytes], ...]
_LENGTH = b"content-length"
_SHORT = 256


def _line(name: bytes, value: bytes) -> bytes:
    """A line of a head; short ones are remembered, long ones may be what a client sent."""
    return _short_line(name, value) if len(value) <= _SHORT else _short_line.__wrapped__(name, value)


@lru_cache(maxsize=1024)
def _short_line(name: bytes, value: bytes) -> bytes:
    if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
        raise RuntimeError("Invalid HTTP header")
    return name + b": " + value + b"\r\n"


@lru_cache(maxsize=256)
def _head(status: int, headers: Lines) -> bytes:
    """A head up to the number of bytes that follow it."""
    return b"".join((STATUS_LINE[status], *(_line(name, value) for name, value in headers), b"content-length: "))


class WholeAnswers(RequestResponseCycle):
    """One request and its answer."""

    # What uvicorn's own constructor would set for each request.
    disconnected = False
    more_body = True
    response_started = response_complete = False
    chunked_encoding: bool | None = None
    expected_content_length = 0
    task: asyncio.Task[None]
    _waiting: Any = None
    _body_due = 0.0

    def __init__(self, protocol: HttpToolsProtocol, *, keep_alive: bool) -> None:
        self.scope = protocol.scope
        self.transport = protocol.transport
        self.flow = protocol.flow
        self.logger = protocol.logger
        self.access_logger = protocol.access_logger
        self.access_log = protocol.access_log
        self.default_headers = protocol.server_state.default_headers
        self.message_event = asyncio.Event()
        self.on_response = protocol.on_response_complete
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = protocol.expect_100_continue
        self.body = bytearray()
        self._tasks = protocol.tasks

    async def run_asgi(self, app: ASGI3Application) -> None:
        """Serve the request; `task`, which runs this, is among those of the server until it ends."""
        try:
            await super().run_asgi(app)
        finally:
            self._tasks.discard(self.task)

    def whole_body(self, limit: int) -> bytes | None:
        """The body of the request when all of it is there and within `limit`, once; None: it has to be received."""
        if self.more_body or self.disconnected or len(self.body) > limit:
            return None
        self.flow.resume_reading()
        body, self.body = bytes(self.body), bytearray()
        return body

    def answer(self, status: int, headers: Lines, body: bytes) -> bool:
        """Write a whole answer (`headers` without its length); False: it has to be sent, because it needs more."""
        if self.response_started or not self.keep_alive or self.flow.write_paused or self.scope["method"] == "HEAD":
            return False
        if not self.disconnected:
            self._write(b"%b%d\r\n\r\n%b" % (_head(status, (*self.default_headers, *headers)), len(body), body))
        return True

    async def receive(self) -> Any:
        """One ASGI message of the request; raises TimeoutError when its body is not whole in time."""
        if not self.more_body or self.disconnected or self.response_complete:
            return await super().receive()
        if not self._body_due:
            self._body_due = asyncio.get_running_loop().time() + BODY_SECONDS
        async with asyncio.timeout_at(self._body_due):
            return await super().receive()

    async def send(self, message: Any) -> None:
        """One ASGI message of the answer."""
        head, self._waiting = self._waiting, None
        if head is None:
            if self._can_wait(message):
                self._waiting = message
                return
        elif message["type"] == "http.response.body" and not message.get("more_body"):
            await self._send_whole(head, message.get("body", b""))
            return
        elif message["type"] == "http.response.body":
            await super().send(head)
        await super().send(message)

    def _can_wait(self, message: Any) -> bool:
        """Whether this is a head that says how much follows, and nothing that only uvicorn knows how to write."""
        if message["type"] != "http.response.start" or self.response_started or not self.keep_alive:
            return False
        names = [name for name, _ in message["headers"]]
        unusual = b"connection" in names or b"transfer-encoding" in names
        return _LENGTH in names and not unusual and self.scope["method"] != "HEAD"

    async def _send_whole(self, head: Any, body: bytes) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        headers = [*self.default_headers, *head["headers"]]
        if (_LENGTH, b"%d" % len(body)) not in headers:
            raise RuntimeError("Response content is not as long as Content-Length")
        lines = [_line(name, value) for name, value in headers]
        self._write(b"".join((STATUS_LINE[head["status"]], *lines, b"\r\n", body)))

    def _write(self, answer: bytes) -> None:
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.transport.write(answer)
        self.message_event.set()
        if not self.keep_alive:  # the server has begun to stop meanwhile
            self.transport.close()
        self.on_response()


def cycle_of(channel: Any) -> WholeAnswers | None:
    """The cycle behind an ASGI `receive` or `send`; None when something else has been put around it."""
    cycle = getattr(channel, "__self__", None)
    return cycle if type(cycle) is WholeAnswers else None
