"""JSON-RPC over WebSocket: one message per text frame, subprotocol `mcp`.

Above: `sessions.pipe_session`. Below: the library `websockets`, which keeps the connection alive with pings, lets
the server wait when we do not read, and us when the server does not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus, InvalidURI
from websockets.frames import CloseCode
from websockets.protocol import State
from websockets.typing import Subprotocol

from callboard.platform.egress import Egress, EgressRefused, tls
from callboard_connectors.transports.failures import InvalidAnswer, StatusRefused, TransportFailure, status_words
from callboard_connectors.transports.headers import USER_AGENT, unreserved
from callboard_connectors.transports.http import Target, check_headers, connection_words, target_of

SUBPROTOCOL = Subprotocol("mcp")
PING_SECONDS = 20.0
_CLOSE_SECONDS = 0.4
_FRAMES_HELD = 16

_WHY_WE_CLOSED: dict[int, str] = {
    CloseCode.NORMAL_CLOSURE: "it was disconnected",
    CloseCode.INTERNAL_ERROR: "it did not answer our pings",
    CloseCode.MESSAGE_TOO_BIG: "it sent a message of more than {} bytes",
}

# The library logs headers at its lowest level, and among them may be a secret.
_silent = logging.Logger("callboard.websocket", logging.CRITICAL + 1)


class _Connect(connect):
    """Follows no redirect: the headers are for the server that was registered."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class WebSocketLink:
    """A connection to such a server, as a `sessions.pipe_session.Pipe`."""

    transport = "websocket"

    def __init__(
        self, url: str, headers: Mapping[str, str], max_body: int, connect_seconds: float, egress: Egress
    ) -> None:
        self._url = url
        self._egress = egress
        self._headers = unreserved(headers)
        self._max_body = max_body
        self._connect_seconds = connect_seconds
        self._connection: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None
        self._ended: Callable[[str], None] = _nobody

    async def open(self, take: Callable[[bytes], None], ended: Callable[[str], None]) -> None:
        """Connect. Raises `StatusRefused`, `InvalidAnswer`, `TransportFailure`."""
        check_headers(self._headers)
        target = _target_of(self._url)
        options: dict[str, Any] = {"ssl": tls()} if target.secure else {}
        try:
            async with asyncio.timeout(self._connect_seconds):
                connected = await self._egress.socket(target.host, target.port)
            self._connection = await _Connect(
                self._url,
                sock=connected,
                subprotocols=[SUBPROTOCOL],
                additional_headers=self._headers,
                user_agent_header=USER_AGENT,
                compression=None,
                proxy=None,
                open_timeout=self._connect_seconds,
                ping_interval=PING_SECONDS,
                ping_timeout=PING_SECONDS,
                close_timeout=_CLOSE_SECONDS,
                max_size=self._max_body,
                max_queue=_FRAMES_HELD,
                logger=_silent,
                **options,
            )
        except InvalidStatus as refused:
            status, headers = refused.response.status_code, refused.response.headers
            raise StatusRefused(status, status_words(status), headers.get("WWW-Authenticate", "")) from None
        except InvalidURI:
            raise TransportFailure("its URL is not valid", sent=False) from None
        except InvalidMessage:
            raise InvalidAnswer("did not answer in HTTP") from None
        except InvalidHandshake:
            raise InvalidAnswer("does not speak WebSocket at this URL") from None
        except (EgressRefused, OSError, TimeoutError, UnicodeError) as error:
            raise TransportFailure(connection_words(error), sent=False) from None
        self._ended = ended
        self._reading = asyncio.create_task(self._read(self._connection, take))

    async def _read(self, connection: ClientConnection, take: Callable[[bytes], None]) -> None:
        reason = "the connection failed"
        try:
            while True:
                take(await connection.recv(decode=False))
        except ConnectionClosed as closed:
            reason = self._words(closed)
        finally:
            self._finish(reason)

    async def write(self, message: bytes, written: Callable[[], None]) -> None:
        """Send one message; waits while the server does not read. Raises `TransportFailure`."""
        connection = self._connection
        if connection is None or connection.state is not State.OPEN:
            raise TransportFailure("it closed the connection", sent=False)
        written()
        try:
            await connection.send(message, text=True)
        except ConnectionClosed as closed:
            raise TransportFailure(self._words(closed), sent=True) from None

    def foreign(self, message: bytes) -> None:
        """Nothing but messages belongs on this connection."""
        self._finish("it sent a message that is not JSON-RPC")
        if self._connection is not None:
            self._connection.transport.abort()

    def _words(self, closed: ConnectionClosed) -> str:
        if closed.sent is not None and not closed.rcvd_then_sent:
            words = _WHY_WE_CLOSED.get(closed.sent.code, "it does not keep to the WebSocket protocol")
            return words.format(self._max_body)
        if closed.rcvd is not None:
            return f"it closed the connection (WebSocket {int(closed.rcvd.code)})"
        return "it closed the connection without a word"

    def _finish(self, reason: str) -> None:
        ended, self._ended = self._ended, _nobody
        ended(reason)

    async def close(self) -> None:
        """Say goodbye, and wait a moment for the answer."""
        self._ended = _nobody
        if self._reading is not None:
            self._reading.cancel()
        if self._connection is not None:
            await self._connection.close()


def _target_of(url: str) -> Target:
    try:
        return target_of("http" + url[2:] if url[:2].lower() == "ws" else url)
    except (ValueError, UnicodeError):
        raise TransportFailure("its URL is not valid", sent=False) from None


def _nobody(_reason: str) -> None:
    """Whoever was told already, or does not want to be told."""
