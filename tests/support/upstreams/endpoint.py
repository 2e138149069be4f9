"""MCP Streamable HTTP of the cheap test upstreams: sessions, GET streams, header checks, both eras."""

from __future__ import annotations

import base64
import secrets
from collections import deque
from functools import partial

import msgspec

from tests.support.upstreams.rpc import (
    HANDSHAKE,
    HEADER_MISMATCH,
    HTTP_STATUS,
    INVALID_REQUEST,
    MODERN,
    PARSE_ERROR,
    Message,
    Peer,
    Reply,
    failure,
    parse,
)
from tests.support.upstreams.wire import Connection

_MODERN_HEADER = MODERN.encode()
_HANDSHAKE_HEADERS = frozenset(version.encode() for version in HANDSHAKE)


class Session:
    """A handshake client: its GET stream and its calls in flight, so that it can cancel them."""

    __slots__ = ("calls", "stream", "waiting")

    def __init__(self) -> None:
        self.calls: dict[bytes, Reply] = {}
        self.stream: Connection | None = None
        self.waiting: deque[bytes] = deque(maxlen=16)

    def push(self, frame: bytes) -> None:
        """Send on the GET stream, or when there is one."""
        if self.stream is None:
            self.waiting.append(frame)
        else:
            self.stream.event(frame)

    def attach(self, connection: Connection) -> None:
        connection.open_events()
        connection.on_lost = partial(self.detach, connection)
        self.stream = connection
        while self.waiting:
            connection.event(self.waiting.popleft())

    def detach(self, connection: Connection) -> None:
        if self.stream is connection:
            self.stream = None


class HttpReply(Reply):
    """A request that came in by POST: JSON when the result is the only message, else SSE."""

    __slots__ = ("connection", "extra", "session", "sse")

    def __init__(self, message: Message, modern: bool, connection: Connection, sse: bool) -> None:
        super().__init__(message, modern)
        self.connection = connection
        self.sse = sse
        self.extra = b""
        self.session: Session | None = None

    def send(self, frame: bytes, last: bool, code: int = 0) -> None:
        connection = self.connection
        if last:
            self._finished()
        if connection.closing():
            return
        if not last or connection.streaming or (self.sse and not code):
            if not connection.streaming:
                connection.open_events(self.extra)
            connection.event(frame)
            if last:
                connection.close_events()
        elif not self.extra and not (self.modern and code in HTTP_STATUS):
            connection.json(frame)
        else:
            connection.respond(HTTP_STATUS.get(code, 200) if self.modern else 200, frame, self.extra)

    def _finished(self) -> None:
        self.connection.on_lost = None
        if self.session is not None:
            self.session.calls.pop(bytes(self.id), None)


class Endpoint:
    """One MCP endpoint: `serve` takes every request of its path. With `sse` every result is an event."""

    def __init__(self, peer: Peer, sse: bool = False) -> None:
        self.peer = peer
        self.sse = sse
        self.sessions: dict[bytes, Session] = {}

    def serve(self, connection: Connection) -> None:
        method = connection.method
        if method == b"POST":
            self._post(connection)
        elif self.peer.era != "2026" and method == b"GET":
            self._get(connection)
        elif self.peer.era != "2026" and method == b"DELETE":
            self._delete(connection)
        else:
            connection.respond(405, extra=b"Allow: POST\r\n")

    def _post(self, connection: Connection) -> None:
        try:
            message = parse(connection.body())
        except msgspec.MsgspecError as problem:
            connection.respond(400, failure(b"", PARSE_ERROR, str(problem)))
            return
        if connection.headers.get(b"mcp-protocol-version") == _MODERN_HEADER or message.modern:
            self._modern(message, connection)
        else:
            self._handshake(message, connection)

    def _modern(self, message: Message, connection: Connection) -> None:
        if not message.id:
            connection.respond(202)
            return
        reply = HttpReply(message, True, connection, self.sse)
        if (refusal := self.peer.refuse(message)) is not None:
            reply.error(*refusal)
        elif (mismatch := _mismatch(message, connection.headers)) is not None:
            reply.error(HEADER_MISMATCH, mismatch)
        else:
            connection.on_lost = reply.cancel
            self.peer.dispatch(message, reply)

    def _handshake(self, message: Message, connection: Connection) -> None:
        reply = HttpReply(message, False, connection, self.sse)
        if (refusal := self.peer.refuse(message)) is not None:
            connection.respond(400, failure(message.id, *refusal))
            return
        if message.method == "initialize":
            self._open(reply)
        elif (session := self._session(connection)) is None:
            return
        elif not message.id or not message.method:
            self._one_way(message, session)
            connection.respond(202)
            return
        else:
            reply.session = session
            session.calls[bytes(message.id)] = reply
        self.peer.dispatch(message, reply)

    def _open(self, reply: HttpReply) -> None:
        session_id = secrets.token_hex(16).encode()
        session = self.sessions[session_id] = Session()
        self.peer.streams.add(session.push)
        reply.extra = b"Mcp-Session-Id: %b\r\n" % session_id

    def _session(self, connection: Connection) -> Session | None:
        """The session a handshake request belongs to; without one the request is answered here."""
        version = connection.headers.get(b"mcp-protocol-version")
        session_id = connection.headers.get(b"mcp-session-id")
        problem = (400, "Missing session ID")
        if version is not None and version not in _HANDSHAKE_HEADERS:
            problem = (400, f"Unsupported protocol version {version.decode('latin-1')}")
        elif session_id is not None:
            if (session := self.sessions.get(session_id)) is not None:
                return session
            problem = (404, "Session not found")
        connection.respond(problem[0], failure(b"", INVALID_REQUEST, problem[1]))
        return None

    def _one_way(self, message: Message, session: Session) -> None:
        if message.method == "notifications/cancelled":
            reply = session.calls.pop(bytes(message.params.request_id), None)
            if reply is not None:
                reply.cancel()
        elif not message.method:
            self.peer.tools.answered(message)

    def _get(self, connection: Connection) -> None:
        if (session := self._session(connection)) is not None:
            session.attach(connection)

    def _delete(self, connection: Connection) -> None:
        if (session := self._session(connection)) is not None:
            self.end(connection.headers[b"mcp-session-id"])
            if session.stream is not None:
                session.stream.close_events()
            connection.respond(204)

    def end(self, session_id: bytes) -> None:
        """Forget a session and cancel its calls."""
        session = self.sessions.pop(session_id, None)
        if session is not None:
            self.peer.streams.discard(session.push)
            for reply in tuple(session.calls.values()):
                reply.cancel()


def _mismatch(message: Message, headers: dict[bytes, bytes]) -> str | None:
    """What a 2026 request's headers say differently from its body."""
    if headers.get(b"mcp-protocol-version") != _MODERN_HEADER:
        return "mcp-protocol-version header does not match the body"
    if headers.get(b"mcp-method", b"").rstrip() != message.method.encode():
        return "mcp-method header does not match the body"
    named = {"tools/call": message.params.name, "resources/read": message.params.uri}.get(message.method)
    if message.method in ("tasks/get", "tasks/update", "tasks/cancel"):
        named = message.params.task_id
    if named is not None:
        name = headers.get(b"mcp-name", b"").rstrip()
        if name != named.encode() and _decoded(name) != named:
            return "mcp-name header does not match the body"
    return None


def _decoded(value: bytes) -> str | None:
    if value[:9] != b"=?base64?" or value[-2:] != b"?=":
        return None
    try:
        return base64.b64decode(value[9:-2], validate=True).decode()
    except ValueError:
        return None
