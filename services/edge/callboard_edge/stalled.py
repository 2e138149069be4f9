"""Connections whose client has stopped reading, or does not come to the end of a head, are cut.

uvicorn by itself waits for such a client without a limit, and takes heads of any length. Senders wait while a client is
slow, so what is queued for it stays bounded; without a cut it would stay for ever.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from callboard_edge.whole_answers import send_whole

STALLED_SECONDS = 20.0
"""So long may a full buffer stay as full as it is."""


HEAD_SECONDS = 20.0
"""So long may the head of a request take to come, and a new connection to say anything."""
MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 128


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
    """HTTP of the edge. Whether a head is whole is looked at once for each piece that comes; most come in one."""

    _whole: object = None
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _idle_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody is there, and has to say something."""
        super().connection_made(transport)
        self._head_timer = asyncio.get_running_loop().call_later(HEAD_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        """A piece came."""
        super().data_received(data)
        if self._whole is not self.scope:
            self._take_part_of_head(len(data))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._whole, self._head_bytes = self.scope, 0
        self._forget_head()
        if len(self.headers) > MAX_HEADERS:
            raise ValueError("too many headers")  # the parser ends the connection with 400
        super().on_headers_complete()
        if self.cycle is not None and not self.cycle.response_started:
            send_whole(self.cycle)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._forget_head()
        super()._unset_keepalive_if_required()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """An answer is whole: on with the next request, or wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        loop = asyncio.get_running_loop()
        self._idle_since = loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that was idle for so long. One timer runs on, whatever is asked meanwhile."""
        self.timeout_keep_alive_task = None
        if self.transport.is_closing() or (self.cycle is not None and not self.cycle.response_complete):
            return
        loop = asyncio.get_running_loop()
        due = self._idle_since + self.timeout_keep_alive
        if loop.time() < due:
            self.timeout_keep_alive_task = loop.call_at(due, self.timeout_keep_alive_handler)
        else:
            self.transport.close()

    def handle_websocket_upgrade(self) -> None:
        """The connection is another protocol's from here on."""
        super()._unset_keepalive_if_required()
        super().handle_websocket_upgrade()

    def _unset_keepalive_if_required(self) -> None:
        if self.transport.is_closing():
            super()._unset_keepalive_if_required()

    def _take_part_of_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            self.transport.abort()
        elif self._head_timer is None:
            self._head_timer = asyncio.get_running_loop().call_later(HEAD_SECONDS, self.transport.abort)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class SocketProtocol(_CutsStalled, WebSocketsSansIOProtocol):
    """WebSocket of the edge."""
