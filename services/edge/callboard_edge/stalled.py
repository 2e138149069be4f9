"""Connections whose client has stopped reading are cut: uvicorn by itself waits for such a client without a limit.

Senders wait while a client is slow, so what is queued for it stays bounded; without a cut it would stay for ever.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from callboard_edge.whole_answers import send_whole

STALLED_SECONDS = 20.0
"""So long may a full buffer stay as full as it is."""


class _CutsStalled(asyncio.Protocol):
    transport: asyncio.Transport
    _left = 0
    _timer: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """The buffer is full: look again whether the client took something of it."""
        super().pause_writing()
        self._look_later()

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        self._forget()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._forget()
        super().connection_lost(exc)

    def _look_later(self) -> None:
        self._left = self.transport.get_write_buffer_size()
        self._timer = asyncio.get_running_loop().call_later(STALLED_SECONDS, self._look)

    def _look(self) -> None:
        if self.transport.get_write_buffer_size() < self._left:
            self._look_later()
        else:
            self.transport.abort()

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class HttpProtocol(_CutsStalled, HttpToolsProtocol):
    """HTTP of the edge."""

    def on_headers_complete(self) -> None:
        """A request begins."""
        super().on_headers_complete()
        if self.cycle is not None and not self.cycle.response_started:
            send_whole(self.cycle)


class SocketProtocol(_CutsStalled, WebSocketsSansIOProtocol):
    """WebSocket of the edge."""
