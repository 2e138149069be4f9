"""HTTP/1.1 as a client, as cheap as Python allows: one protocol over httptools, one request at a time on each.

Above: `transports.http` (keeps connections, knows the server). Nothing here sends anything twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httptools

from callboard_connectors.transports.failures import TransportFailure

_HEADER_BYTES = 65536
_HELD_BYTES = 1 << 20  # of a body that nobody reads: then the server has to wait

_EARLY = "it closed the connection without an answer"
_BROKEN = "it closed the connection within its answer"


class Response:
    """The head of an answer; its body comes as it arrives. `headers`: as they came, with names in lower case."""

    __slots__ = ("_chunks", "_connection", "_ended", "_failure", "_held", "_paused", "_waiter", "headers", "status")

    def __init__(self, status: int, headers: dict[bytes, bytes], connection: Connection) -> None:
        self.status = status
        self.headers = headers
        self._connection = connection
        self._chunks: list[bytes] = []
        self._held = 0
        self._ended = False
        self._paused = False
        self._failure: str = ""
        self._waiter: asyncio.Future[None] | None = None

    def header(self, name: bytes) -> str:
        """One header as text, by its name in lower case; empty when there is none."""
        return self.headers.get(name, b"").decode("latin-1")

    @property
    def ended(self) -> bool:
        """Whether all of the body has been read; one that broke off never has."""
        return self._ended and not self._failure and not self._chunks

    async def chunk(self) -> bytes:
        """What has come since; waits for some of it; empty at the end. Raises `TransportFailure`."""
        while not self._chunks:
            if self._failure:
                raise TransportFailure(self._failure, sent=True)
            if self._ended:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self.taken()

    def taken(self) -> bytes:
        """What has come since, perhaps nothing; does not wait."""
        whole = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._held = 0
        if self._paused:
            self._paused = False
            self._connection.resume()
        return whole

    def close(self) -> None:
        """No more of it: the connection is given up unless the answer has ended."""
        if not self._ended:
            self._connection.abort()

    def feed(self, data: bytes) -> None:
        """A piece of the body came."""
        self._chunks.append(data)
        self._held += len(data)
        if self._held > _HELD_BYTES and not self._paused:
            self._paused = True
            self._connection.pause()
        if self._waiter is not None:
            self._wake(self._waiter)

    def end(self, failure: str = "") -> None:
        """The body is complete, or there will be no more of it."""
        self._ended, self._failure = True, failure
        if self._paused:  # the connection is the next one's from here on
            self._paused = False
            self._connection.resume()
        if self._waiter is not None:
            self._wake(self._waiter)

    def _wake(self, waiter: asyncio.Future[None]) -> None:
        if not waiter.done():
            waiter.set_result(None)


class Connection(asyncio.Protocol):
    """One connection. `idle` is called when it may be used again, `gone` when it is closed."""

    def __init__(self, idle: Callable[[Connection], None], gone: Callable[[Connection], None]) -> None:
        self._on_idle = idle
        self._on_gone = gone
        self._transport: Any = None
        self._parser = httptools.HttpResponseParser(self)
        self._head: asyncio.Future[Response] | None = None
        self._response: Response | None = None
        self._headers: dict[bytes, bytes] = {}
        self._header_bytes = 0
        self._interim = False
        self._loop = asyncio.get_running_loop()
        self.idle_since = 0.0
        """When it was used last, on the clock of the loop."""

    @property
    def usable(self) -> bool:
        """Whether a request may be written to it."""
        return not self._transport.is_closing()

    @property
    def socket(self) -> Any:
        """The socket below, as its options can be set; None when it is closed already."""
        return self._transport.get_extra_info("socket")

    def request(self, data: bytes) -> asyncio.Future[Response]:
        """Write a request; the head of its answer, or `TransportFailure`. Who cancels that aborts the connection."""
        head = self._head = self._loop.create_future()
        self._header_bytes = 0
        self._transport.write(data)
        return head

    def pause(self) -> None:
        """Let the server wait."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Go on reading."""
        if self.usable:
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close without ado."""
        self._transport.abort()

    def close(self) -> None:
        """Close."""
        self._transport.close()

    # ------------------------------------------------------------------------- from the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail("it did not answer in HTTP")
        if self._head is not None:
            self._header_bytes += len(data)
            if self._header_bytes > _HEADER_BYTES:
                self._fail("it sent too many headers")

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed, by whomever."""
        self._on_gone(self)
        response = self._response
        if response is not None and exc is None and not _is_framed(response):
            self._response = None
            response.end()  # a body without a length ends with the connection
        self._fail(_EARLY if response is None else _BROKEN)

    def _fail(self, reason: str) -> None:
        head, self._head = self._head, None
        if head is not None and not head.done():
            head.set_exception(TransportFailure(reason, sent=True))
        response, self._response = self._response, None
        if response is not None:
            response.end(reason)
        self._transport.abort()

    # ----------------------------------------------------------------------------- from the parser

    def on_message_begin(self) -> None:
        """An answer begins."""
        self._headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header came."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """The head is whole."""
        status = self._parser.get_status_code()
        self._interim = 100 <= status < 200
        head = self._head
        if self._interim:
            return
        if head is None or head.done():
            self._fail("it answered without being asked")
            return
        self._response = Response(status, self._headers, self)
        self._head = None
        head.set_result(self._response)

    def on_body(self, body: bytes) -> None:
        """A piece of the body came."""
        if self._response is not None:
            self._response.feed(body)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        response = self._response
        if self._interim or response is None:
            return
        self._response = None
        response.end()
        if self._parser.should_keep_alive() and not self._transport.is_closing():
            self.idle_since = self._loop.time()
            self._on_idle(self)
        else:
            self._transport.close()


def _is_framed(response: Response) -> bool:
    return b"content-length" in response.headers or b"transfer-encoding" in response.headers
