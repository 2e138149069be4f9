"""Streamable HTTP over aiohttp: raw bytes out, raw bytes in, every wait and size bounded by the caller.

Above: `sessions.http_session`. Below: one `aiohttp.ClientSession` of the process, which keeps connections warm.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from callboard_connectors.transports.failures import InvalidAnswer, TransportFailure
from callboard_connectors.transports.sse import EventParser, LineParser, ServerEvent, TooLarge

# Common servers close idle connections after 5 s. We let go before, so that a request is not written to a
# connection that the other side is closing: it could not be sent again.
KEEP_ALIVE_SECONDS = 4.0
_DRAIN_SECONDS = 0.5

_NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)


def open_client(connect_seconds: float) -> aiohttp.ClientSession:
    """The one HTTP client of the process. Deadlines are the callers': it has no total time-out."""
    connector = aiohttp.TCPConnector(limit=0, limit_per_host=0, keepalive_timeout=KEEP_ALIVE_SECONDS, ttl_dns_cache=10)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        # No limit on waiting for a free connection: there is always one. It would cost a timer per call.
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds),
        trust_env=False,
        auto_decompress=True,
    )


class HttpLink:
    """Where one upstream is, and how to get bytes to and from it."""

    def __init__(self, client: aiohttp.ClientSession, url: str, max_body: int) -> None:
        self._client = client
        self.url = URL(url)
        self.max_body = max_body
        self._draining: set[asyncio.Task[None]] = set()

    async def post(self, body: bytes, headers: CIMultiDict[str]) -> aiohttp.ClientResponse:
        """Send a message. Raises `TransportFailure`; a POST is never sent a second time from here."""
        try:
            return await self._client.post(self.url, data=body, headers=headers, allow_redirects=False)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _failure(error) from None

    async def get(self, headers: CIMultiDict[str]) -> aiohttp.ClientResponse:
        """Open the server's stream."""
        try:
            return await self._client.get(self.url, headers=headers, allow_redirects=False)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _failure(error) from None

    async def delete(self, headers: CIMultiDict[str]) -> None:
        """End a session; whether the server supports that does not matter."""
        try:
            response = await self._client.delete(self.url, headers=headers, allow_redirects=False)
            response.close()
        except (aiohttp.ClientError, OSError, ValueError):
            pass

    async def body(self, response: aiohttp.ClientResponse) -> bytes:
        """The whole body. Raises `InvalidAnswer` when it is too long, `TransportFailure` when it breaks off."""
        content = response.content
        try:
            first = await content.readany()
            if content.at_eof():
                return first
            pieces, size = [first], len(first)
            while not content.at_eof():
                piece = await content.readany()
                pieces.append(piece)
                size += len(piece)
                if size > self.max_body:
                    response.close()
                    raise InvalidAnswer(f"answered more than {self.max_body} bytes")
            return b"".join(pieces)
        except (aiohttp.ClientError, OSError) as error:
            raise _failure(error) from None

    async def events(self, response: aiohttp.ClientResponse) -> AsyncIterator[ServerEvent]:
        """The events of a stream as they come, until it ends. Raises as `body` does."""
        lines = not response.headers.get("Content-Type", "").lower().startswith("text/event-stream")
        parser: EventParser | LineParser = LineParser(self.max_body) if lines else EventParser(self.max_body)
        content = response.content
        try:
            while chunk := await content.readany():
                for event in parser.feed(chunk):
                    yield event
            if lines:
                for event in parser.feed(b"\n"):
                    yield event
        except TooLarge:
            response.close()
            raise InvalidAnswer(f"sent an event of more than {self.max_body} bytes") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _failure(error) from None

    def let_go(self, response: aiohttp.ClientResponse) -> None:
        """Done with a stream that may have its end still on the way: keep the connection if that comes soon."""
        if response.content.at_eof():
            response.release()
            return
        task = asyncio.get_running_loop().create_task(_drained(response))
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)


async def _drained(response: aiohttp.ClientResponse) -> None:
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while await response.content.readany():
                pass
    except (TimeoutError, aiohttp.ClientError, OSError):
        pass
    finally:
        response.close()


def redirect_target(url: URL, response: aiohttp.ClientResponse) -> URL | None:
    """Where a redirect that keeps the method leads, if that is on the same origin."""
    if response.status not in (307, 308):
        return None
    try:
        target = url.join(URL(response.headers.get("Location", "")))
    except ValueError:
        return None
    return target if target.origin() == url.origin() else None


def _failure(error: BaseException) -> TransportFailure:
    return TransportFailure(_words(error), sent=not isinstance(error, _NOT_SENT))


def _words(error: BaseException) -> str:
    """What happened, without addresses or anything of the request."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its host name is not known"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError | ssl.SSLError):
        return "its TLS certificate was not accepted"
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        return f"connection failed: {os.strerror(number).lower() if number else 'unreachable'}"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "it did not accept the connection in time"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection without an answer"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "it closed the connection within its answer"
    return "the connection broke"


def place_of(url: str) -> str:
    """Scheme, host and port of a URL, for messages."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
