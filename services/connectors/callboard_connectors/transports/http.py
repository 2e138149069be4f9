"""The way to one HTTP upstream: warm connections, bounded bodies, failures in words.

Above: `sessions.http_session`. Below: `transports.http_wire`. A client of our own, because the general ones cost
more processor time per call than all the rest of the path (see `bench/`); it sends nothing a second time.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from callboard.platform.egress import Egress, EgressRefused, tls
from callboard_connectors.transports.failures import InvalidAnswer, TransportFailure
from callboard_connectors.transports.http_wire import Connection, Response
from callboard_connectors.transports.sse import EventParser, LineParser, ServerEvent, TooLarge

# Common servers close idle connections after 5 s. We let go before, so that a request is not written to a
# connection that the other side is closing: it could not be sent again.
KEEP_ALIVE_SECONDS = 4.0
_DRAIN_SECONDS = 0.5
_PARSED_BYTES = 65536
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_UNSAFE_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Target(NamedTuple):
    """Where a URL leads: `path` with its query, `authority` for the Host header."""

    secure: bool
    host: str
    port: int
    path: str
    authority: str


def target_of(url: str) -> Target:
    """Take a URL apart; raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an http or https URL")
    secure = parts.scheme == "https"
    usual = 443 if secure else 80
    host = parts.hostname if ":" in parts.hostname else parts.hostname.encode("idna").decode("ascii")
    port = parts.port or usual
    shown = f"[{host}]" if ":" in host else host
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=-._~")
    if parts.query:
        path += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=-._~?")
    return Target(secure, host, port, path, shown if port == usual else f"{shown}:{port}")


def check_headers(headers: Mapping[str, str]) -> None:
    """Raises `TransportFailure` for one that would not stay one header."""
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or _UNSAFE_VALUE.search(value):
            raise TransportFailure(f"its header {name!r} has a name or value that is not allowed", sent=False)


class HttpLink:
    """Where one upstream is, and how to get bytes to and from it."""

    def __init__(self, url: str, max_body: int, connect_seconds: float, egress: Egress) -> None:
        try:
            self.target = target_of(url)
        except (ValueError, UnicodeError):
            raise TransportFailure("its URL is not valid", sent=False) from None
        self.url = url
        self.max_body = max_body
        self._connect_seconds = connect_seconds
        self._egress = egress
        self._idle: deque[Connection] = deque()
        self._all: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._draining: set[asyncio.Task[None]] = set()
        self._closed = False

    # ------------------------------------------------------------------------------------- requests

    def head(self, method: str, headers: Mapping[str, str]) -> bytes:
        """A request up to its last header, to be used again. Raises `TransportFailure` for a bad header."""
        check_headers(headers)
        lines = [f"{method} {self.target.path} HTTP/1.1", f"Host: {self.target.authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join(lines).encode() + b"\r\n"

    def post(self, head: bytes, body: bytes) -> Coroutine[Any, Any, Response]:
        """Send a message. Raises `TransportFailure`."""
        return self._exchange(b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body))

    def ask(self, head: bytes) -> Coroutine[Any, Any, Response]:
        """Send a request without a body."""
        return self._exchange(head + b"\r\n")

    async def _exchange(self, data: bytes) -> Response:
        connection = self._kept() or await self._connect()
        head = connection.request(data)
        try:
            return await head
        except asyncio.CancelledError:
            if head.done() and not head.cancelled() and head.exception() is None:
                # It was answered in this very turn; if wholly, the connection is free, or another's already.
                head.result().close()
            else:
                connection.abort()
            raise

    def _kept(self) -> Connection | None:
        """A connection that is open and free, the most recently used one first."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.usable:
                return connection
        return None

    async def _connect(self) -> Connection:
        target = self.target
        context = tls() if target.secure else None
        try:
            async with asyncio.timeout(self._connect_seconds):
                connection = await self._egress.connect(
                    lambda: Connection(self._on_idle, self._on_gone), target.host, target.port, context
                )
        except (EgressRefused, OSError, TimeoutError, UnicodeError) as error:
            raise TransportFailure(connection_words(error), sent=False) from None
        watch_peer(connection.socket)
        self._all.add(connection)
        return connection

    # ------------------------------------------------------------------------------- kept connections

    def _on_idle(self, connection: Connection) -> None:
        if self._closed:
            connection.close()
            return
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(KEEP_ALIVE_SECONDS, self._sweep)

    def _on_gone(self, connection: Connection) -> None:
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def _sweep(self) -> None:
        """Close what was not used lately; the most recently used connections are taken first."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - KEEP_ALIVE_SECONDS
        while self._idle and self._idle[0].idle_since <= oldest:
            self._idle.popleft().close()
        wait = self._idle[0].idle_since - oldest if self._idle else 0.0
        self._sweeper = loop.call_later(wait, self._sweep) if self._idle else None

    def close(self) -> None:
        """Close every connection; whatever still runs on one fails."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in tuple(self._all):
            connection.abort()
        self._idle.clear()

    # ---------------------------------------------------------------------------------------- bodies

    async def body(self, response: Response, begun: bytes = b"", until: bytes = b"") -> bytes:
        """The whole body, of which `begun` was read before; or as much as has come when it contains `until`.

        Raises `InvalidAnswer` when it is too long, `TransportFailure` when it breaks off.
        """
        if response.ended or (until and until in begun):
            return begun
        pieces, size = [begun], len(begun)
        while piece := await response.chunk():
            pieces.append(piece)
            size += len(piece)
            if size > self.max_body:
                response.close()
                raise InvalidAnswer(f"answered more than {self.max_body} bytes")
            if until and until in piece:
                break
        return b"".join(pieces)

    async def events(self, response: Response, begun: bytes = b"") -> AsyncIterator[ServerEvent]:
        """The events of a stream as they come, until it ends; without events, its lines. Raises as `body` does."""
        lines = not response.header(b"content-type").lower().startswith("text/event-stream")
        parser: EventParser | LineParser = LineParser(self.max_body) if lines else EventParser(self.max_body)
        try:
            while chunk := begun or await response.chunk():
                begun = b""
                for at in range(0, len(chunk), _PARSED_BYTES):
                    if at:
                        await asyncio.sleep(0)  # many small events in one chunk: others have their turn in between
                    for event in parser.feed(chunk[at : at + _PARSED_BYTES]):
                        yield event
            if lines:
                for event in parser.feed(b"\n"):
                    yield event
        except TooLarge:
            response.close()
            raise InvalidAnswer(f"sent an event of more than {self.max_body} bytes") from None

    def let_go(self, response: Response) -> None:
        """Done with a stream that may have its end still on the way: keep the connection if that comes soon."""
        if response.ended:
            return
        task = asyncio.get_running_loop().create_task(_drained(response))
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)

    def redirect_target(self, response: Response) -> str | None:
        """The URL that a redirect which keeps the method leads to, if that is on the same origin."""
        if response.status not in (307, 308):
            return None
        return self.within_origin(response.header(b"location"))

    def within_origin(self, location: str) -> str | None:
        """The URL that a location (perhaps a relative one) means, if that is on the origin of this link."""
        try:
            url = urljoin(self.url, location)
            target = target_of(url)
        except (ValueError, UnicodeError):
            return None
        same = (target.secure, target.host, target.port) == (self.target.secure, self.target.host, self.target.port)
        return url if same else None

    def move(self, url: str) -> None:
        """The server is at another path of the same origin."""
        self.url, self.target = url, target_of(url)


def watch_peer(connection: socket.socket | None) -> None:
    """Let the kernel notice a peer that is gone without a word, on streams that may be silent for long."""
    if connection is None:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def _drained(response: Response) -> None:
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while await response.chunk():
                pass
    except (TimeoutError, TransportFailure):
        pass
    finally:
        response.close()


def connection_words(error: BaseException) -> str:
    """Why there is no connection, without addresses or anything of the request."""
    match error:
        case EgressRefused():
            return str(error)
        case socket.gaierror() | UnicodeError():
            return "its host name is not known"
        case ssl.SSLError():
            return "its TLS certificate was not accepted"
        case TimeoutError():
            return "it did not accept the connection in time"
        case OSError() if error.errno:
            return f"connection failed: {os.strerror(error.errno).lower()}"
        case _:
            return "connection failed"
