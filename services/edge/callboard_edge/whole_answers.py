"""uvicorn writes the head of an answer and its body one after the other: two packets, and two ways into the kernel.

Here the head of an answer of known length waits for its body. And a body that does not come is waited for for a while
only, with a timer for those that are not here yet. Above: uvicorn's HTTP protocol (`stalled.HttpProtocol`).
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, STATUS_LINE, RequestResponseCycle

BODY_SECONDS = 30.0


@lru_cache(maxsize=1024)
def _line(name: bytes, value: bytes) -> bytes:
    if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
        raise RuntimeError("Invalid HTTP header")
    return name + b": " + value + b"\r\n"


class WholeAnswers(RequestResponseCycle):
    """One request and its answer; the class of a cycle once uvicorn has made it."""

    _head: Any = None
    _body_due = 0.0

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
        head, self._head = self._head, None
        if head is None:
            if self._can_wait(message):
                self._head = message
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
        return b"content-length" in names and not unusual and self.scope["method"] != "HEAD"

    async def _send_whole(self, head: Any, body: bytes) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        headers = [*self.default_headers, *head["headers"]]
        if (b"content-length", b"%d" % len(body)) not in headers:
            raise RuntimeError("Response content is not as long as Content-Length")
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        lines = [_line(name, value) for name, value in headers]
        self.transport.write(b"".join((STATUS_LINE[head["status"]], *lines, b"\r\n", body)))
        self.message_event.set()
        if not self.keep_alive:  # the server has begun to stop meanwhile
            self.transport.close()
        self.on_response()


def send_whole(cycle: RequestResponseCycle) -> None:
    """Let this cycle, which nothing was sent on yet, send so."""
    cast(Any, cycle).__class__ = WholeAnswers
