"""HTTP/1.1 for the test upstreams, as cheap as Python allows: one asyncio Protocol over httptools."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any, cast

import httptools

_JSON_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_EVENTS_OK = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n%b\r\n"
)


class Connection(asyncio.Protocol):
    """One client connection; `serve` is called with it once per complete request."""

    transport: asyncio.Transport
    parser: httptools.HttpRequestParser

    def __init__(self, serve: Callable[[Connection], None]) -> None:
        self.serve = serve
        self.url = b""
        self.headers: dict[bytes, bytes] = {}
        self.chunks: list[bytes] = []
        self.keep_alive = True
        self.streaming = False
        self.writable = asyncio.Event()
        self.writable.set()
        self.on_lost: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from asyncio's
        self.parser = httptools.HttpRequestParser(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.writable.set()
        if self.on_lost is not None:
            self.on_lost()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = {}
        self.chunks = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self.chunks.append(body)

    def on_message_complete(self) -> None:
        self.keep_alive = self.parser.should_keep_alive()
        self.serve(self)

    @property
    def method(self) -> bytes:
        return self.parser.get_method()

    @property
    def path(self) -> str:
        return self.url.partition(b"?")[0].decode("latin-1")

    def body(self) -> bytes:
        return self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)

    def json(self, body: bytes) -> None:
        """The usual answer: 200, JSON, nothing else."""
        self.transport.write(_JSON_OK % (len(body), body))
        if not self.keep_alive:
            self.transport.close()

    def respond(self, status: int, body: bytes = b"", extra: bytes = b"", kind: bytes = b"application/json") -> None:
        """Any other answer; `extra` holds whole header lines."""
        reason = HTTPStatus(status).phrase.encode()
        head = b"HTTP/1.1 %d %b\r\nContent-Length: %d\r\n%b" % (status, reason, len(body), extra)
        if body:
            head += b"Content-Type: %b\r\n" % kind
        self.transport.write(head + b"\r\n" + body)
        if not self.keep_alive:
            self.transport.close()

    def open_events(self, extra: bytes = b"") -> None:
        """Start an SSE answer."""
        self.streaming = True
        self.transport.write(_EVENTS_OK % extra)

    def event(self, data: bytes) -> None:
        """One SSE event with a JSON-RPC message."""
        self.chunk(b"event: message\ndata: %b\n\n" % data)

    def chunk(self, raw: bytes) -> None:
        self.transport.write(b"%x\r\n%b\r\n" % (len(raw), raw))

    def close_events(self) -> None:
        """End an SSE answer; the connection stays usable."""
        self.streaming = False
        self.transport.write(b"0\r\n\r\n")
        if not self.keep_alive:
            self.transport.close()

    def closing(self) -> bool:
        return self.transport.is_closing()


async def listen(serve: Callable[[Connection], None], port: int) -> int:
    """Listen on loopback; port 0 picks a free one. The port is announced on the first line of stdout."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(serve), "127.0.0.1", port, backlog=1024)
    chosen: int = server.sockets[0].getsockname()[1]
    print(f"PORT {chosen}", flush=True)
    return chosen


async def until_terminated(start: Callable[[], Awaitable[object]]) -> None:
    """Run `start`, then wait for SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await start()
    await stop.wait()


def run(main: Coroutine[Any, Any, None]) -> None:
    """asyncio.run, on uvloop where it is installed."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)
