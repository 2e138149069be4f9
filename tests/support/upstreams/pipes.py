"""The transports of the cheap test upstreams that are one pipe: many messages both ways, in order.

The older HTTP+SSE (MCP 2024-11-05), and WebSocket with one message per text frame.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State
from websockets.typing import Subprotocol

from tests.support.upstreams.rpc import PARSE_ERROR, Message, Peer, Reply, failure, parse
from tests.support.upstreams.wire import Connection


class PipeReply(Reply):
    __slots__ = ("channel",)

    def __init__(self, message: Message, channel: Channel) -> None:
        super().__init__(message, message.modern)
        self.channel = channel
        channel.calls[bytes(self.id)] = self

    def send(self, frame: bytes, last: bool, code: int = 0) -> None:
        if last:
            self.channel.calls.pop(bytes(self.id), None)
        self.channel.write(frame)


class Channel:
    """One client on a pipe; `write` sends it a message."""

    def __init__(self, peer: Peer, write: Callable[[bytes], None]) -> None:
        self.peer = peer
        self.write = write
        self.calls: dict[bytes, PipeReply] = {}

    def take(self, text: bytes) -> None:
        """A message of the client."""
        try:
            message = parse(text)
        except msgspec.MsgspecError as problem:
            self.write(failure(b"", PARSE_ERROR, str(problem)))
            return
        if not message.id or not message.method:
            self._one_way(message)
            return
        reply = PipeReply(message, self)
        if (refusal := self.peer.refuse(message)) is not None:
            reply.error(*refusal)
        else:
            self.peer.dispatch(message, reply)

    def _one_way(self, message: Message) -> None:
        if message.method == "notifications/initialized":
            self.peer.streams.add(self.write)
        elif message.method == "notifications/cancelled":
            reply = self.calls.pop(bytes(message.params.request_id), None)
            if reply is not None:
                reply.cancel()
        elif not message.method:
            self.peer.tools.answered(message)

    def close(self) -> None:
        """The client is gone."""
        self.peer.streams.discard(self.write)
        for reply in tuple(self.calls.values()):
            reply.cancel()


class SseEndpoint:
    """GET /sse opens a session, whose messages are posted to /messages?session=."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.channels: dict[bytes, Channel] = {}

    def serve(self, connection: Connection) -> None:
        if connection.path == "/sse" and connection.method == b"GET":
            self.open(connection)
        elif connection.path == "/sse":
            connection.respond(405, extra=b"Allow: GET\r\n")
        elif connection.path == "/messages" and connection.method == b"POST":
            self.post(connection)
        else:
            connection.respond(404)

    def open(self, connection: Connection, channel: Channel | None = None, endpoint: bytes = b"/messages") -> None:
        """Open a session whose messages come to `endpoint`."""
        session = secrets.token_hex(16).encode()
        channel = self.channels[session] = channel or Channel(self.peer, connection.event)

        def lost() -> None:
            del self.channels[session]
            channel.close()

        connection.on_lost = lost
        connection.open_events()
        connection.chunk(b"event: endpoint\ndata: %b?session=%b\n\n" % (endpoint, session))

    def post(self, connection: Connection) -> None:
        channel = self.channels.get(connection.url.partition(b"session=")[2])
        if channel is None:
            connection.respond(HTTPStatus.NOT_FOUND, b"unknown session", kind=b"text/plain")
            return
        connection.respond(HTTPStatus.ACCEPTED, b"Accepted", kind=b"text/plain")
        channel.take(connection.body())


async def serve_websocket(connection: ServerConnection, channel: Callable[[Callable[[bytes], None]], Channel]) -> None:
    """Serve one client; `channel` makes what takes its messages from what writes to it."""

    def write(frame: bytes) -> None:
        if connection.state is State.OPEN:
            connection.protocol.send_text(frame)
            connection.send_data()

    taking = channel(write)
    try:
        while True:
            taking.take(await connection.recv(decode=False))
    except ConnectionClosed:
        taking.close()


async def listen_websocket(peer: Peer, port: int) -> None:
    """Serve a peer over WebSocket."""
    await announced(lambda connection: serve_websocket(connection, partial(Channel, peer)), port)


async def announced(session: Callable[[ServerConnection], Awaitable[None]], port: int) -> Server:
    """Listen for WebSockets on loopback; the port is announced on the first line of stdout."""
    server = await serve(session, "127.0.0.1", port, subprotocols=[Subprotocol("mcp")], max_size=None, compression=None)
    print(f"PORT {next(iter(server.sockets)).getsockname()[1]}", flush=True)
    return server
