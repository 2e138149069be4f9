"""Connections whose client has stopped reading, or does not come to the end of a head or of trailers, are cut.

uvicorn by itself waits for such a client without a limit, and takes heads and trailers of any length. Senders wait
while a client is slow, so what is queued for it stays bounded; without a cut it would stay for ever.
"""

from __future__ import annotations

import asyncio
import urllib.parse
from functools import lru_cache
from typing import cast

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from callboard_edge.whole_answers import WholeAnswers

STALLED_SECONDS = 20.0
"""So long may a full buffer stay as full as it is."""


HEAD_SECONDS = 20.0
"""So long may the head of a request take to come, and a new connection to say anything."""
MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 128
"""Of a head; of the trailers behind a body in chunks just as many."""
REST_SECONDS = 5.0
"""So long does a connection stay after an answer that came before the end of the request's body."""


_SHORT = 256
"""Of so many bytes at most are the targets whose parts are remembered."""


def _read_target(target: bytes) -> tuple[str, bytes, bytes]:
    """Path, the same as it came, and query of a request target (RFC 9112, section 3.2)."""
    parsed = httptools.parse_url(target)
    path = parsed.path.decode("ascii")
    return urllib.parse.unquote(path) if "%" in path else path, parsed.path, parsed.query or b""


_read_short_target = lru_cache(maxsize=1024)(_read_target)


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
    """HTTP of the edge. Whether a head is whole is looked at once for each piece that comes; most come in one.

    Trailers (RFC 9112, 7.1.2) are counted and dropped: nobody here wants them, and in the head they would be believed.
    """

    _whole: object = None
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _idle_since = 0.0
    _chunk_is_empty = False
    _lines_of_head = 0
    _trailers = 0
    _rest_timer: asyncio.TimerHandle | None = None
    _running: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody is there, and has to say something."""
        super().connection_made(transport)
        self._head_timer = asyncio.get_running_loop().call_later(HEAD_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        """A piece came."""
        super().data_received(data)
        if self._whole is not self.scope:
            self._take_part_of_head(len(data))
        elif self._chunk_is_empty:
            self._take_part_of_trailers(len(data))

    def on_chunk_header(self) -> None:
        """The size of a chunk came; of the last one, which trailers follow, it is 0."""
        self._chunk_is_empty, self._lines_of_head = True, len(self.headers)
        self._trailers, self._head_bytes = 0, -1

    def on_body(self, body: bytes) -> None:
        """A part of the body: what is open is not the last chunk."""
        self._chunk_is_empty = False
        super().on_body(body)

    def on_chunk_complete(self) -> None:
        """A chunk is whole, and if it was the last one, so are the trailers."""
        self._chunk_is_empty, self._head_bytes = False, 0
        if self._drop_trailers() > MAX_HEADERS:
            raise ValueError("too many trailers")  # the parser ends the connection with 400

    def on_headers_complete(self) -> None:
        """The head is whole. As in uvicorn, but for what it can be told and the edge does not (a prefix, a limit)."""
        scope, parser = self.scope, self.parser
        self._whole, self._head_bytes = scope, 0
        if self._head_timer is not None:
            self._forget_head()
        if len(self.headers) > MAX_HEADERS:
            raise ValueError("too many headers")  # the parser ends the connection with 400
        version = parser.get_http_version()
        scope["method"], scope["http_version"] = parser.get_method().decode("ascii"), version
        if parser.should_upgrade() and self._should_upgrade():
            return
        read = _read_short_target if len(self.url) <= _SHORT else _read_target
        scope["path"], scope["raw_path"], scope["query_string"] = read(self.url)
        earlier = self.cycle
        self.cycle = WholeAnswers(self, keep_alive=version != "1.0" and parser.should_keep_alive())
        if earlier is None or earlier.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:  # it was sent ahead, and waits for its turn
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._forget_head()
        if self._rest_timer is not None:
            self._rest_timer.cancel()
        super()._unset_keepalive_if_required()
        running = self._running
        if running is not None and not running.response_complete:
            # uvicorn tells the newest request only, which was sent ahead when another still runs.
            running.disconnected = True
            running.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """As uvicorn does, but the task leaves the set when it ends: a callback for that is a turn of the loop more."""
        self._running = cycle
        cast(WholeAnswers, cycle).task = task = self.loop.create_task(cycle.run_asgi(app))
        self.tasks.add(task)

    def on_response_complete(self) -> None:
        """An answer is whole: on with the next request, or wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        loop = self.loop
        if self.cycle.more_body:
            self._rest_timer = loop.call_later(REST_SECONDS, self._end_with, self.scope)
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

    def _take_part_of_trailers(self, size: int) -> None:
        """What the piece with the last chunk had of them is not counted in bytes: before it there may be a body."""
        self._head_bytes = 0 if self._head_bytes < 0 else self._head_bytes + size
        if self._drop_trailers() > MAX_HEADERS or self._head_bytes > MAX_HEAD_BYTES:
            self.transport.abort()

    def _drop_trailers(self) -> int:
        """How many came of this request; the application has not seen them."""
        self._trailers += len(self.headers) - self._lines_of_head
        del self.headers[self._lines_of_head :]
        return self._trailers

    def _end_with(self, scope: object) -> None:
        if self.scope is scope and not self.transport.is_closing():
            self.transport.close()

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class SocketProtocol(_CutsStalled, WebSocketsSansIOProtocol):
    """WebSocket of the edge."""
