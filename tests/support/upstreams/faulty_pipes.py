"""MCP upstreams over the older HTTP+SSE or over WebSocket that misbehave, one way per path.

    python -m tests.support.upstreams.faulty_pipes --transport sse|websocket --port 0 [--ledger FILE] [--elsewhere URL]

The stream is at `/sse/MODE`, the WebSocket at `/MODE`. Their tool is `ping`; every tools/call that arrives appends
its mode and a newline to the ledger. Modes of both: `healthy`, `garbage` (what it says is not JSON), `garbage-call`
(only in place of a result), `cut` (the connection ends when a call arrives), `hang` (it never answers), `nag` (it asks
the client something without end). Of SSE alone: `elsewhere` (messages are to be posted to the URL that was given),
`speechless` (no endpoint), `forget` (every second call meets a forgotten session).
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable

import msgspec
from websockets.asyncio.server import ServerConnection

from tests.support.upstreams import wire
from tests.support.upstreams.echo import Ledger
from tests.support.upstreams.faulty import PingTools
from tests.support.upstreams.pipes import Channel, SseEndpoint, announced, serve_websocket
from tests.support.upstreams.rpc import Message, Peer, parse

_GARBAGE = b'\x7b"jsonrpc": not JSON at all]'
_NAGS = 500


class FaultyChannel(Channel):
    """A client, and what becomes of its messages; `cut` ends its connection without a word."""

    def __init__(self, write: Callable[[bytes], None], mode: str, ledger: Ledger, cut: Callable[[], None]) -> None:
        super().__init__(Peer(PingTools()), write)
        self.mode = mode
        self.ledger = ledger
        self.cut = cut

    def take(self, text: bytes) -> None:
        message = _parsed(text)
        calling = message.method == "tools/call"
        if calling:
            self.ledger.append(self.mode)
        match self.mode:
            case "hang":
                return
            case "garbage":
                self.write(_GARBAGE)
            case "garbage-call" if calling:
                self.write(_GARBAGE)
            case "cut" if calling:
                self.cut()
            case "nag" if calling:
                for number in range(_NAGS):
                    self.write(b'{"jsonrpc":"2.0","id":"n%d","method":"ping"}' % number)
                super().take(text)
            case _:
                super().take(text)


def _parsed(text: bytes) -> Message:
    try:
        return parse(text)
    except msgspec.MsgspecError:
        return Message()


class SseServer:
    """One `SseEndpoint` per mode."""

    def __init__(self, ledger: Ledger, elsewhere: str) -> None:
        self.ledger = ledger
        self.elsewhere = elsewhere
        self.endpoints: dict[str, SseEndpoint] = {}
        self.calls = 0

    def serve(self, connection: wire.Connection) -> None:
        where, _, mode = connection.path.strip("/").partition("/")
        endpoint = self.endpoints.setdefault(mode, SseEndpoint(Peer(PingTools())))
        if where == "sse" and connection.method == b"GET":
            self._open(mode, endpoint, connection)
        elif where == "messages" and connection.method == b"POST":
            self._post(mode, endpoint, connection)
        else:
            connection.respond(405)

    def _open(self, mode: str, endpoint: SseEndpoint, connection: wire.Connection) -> None:
        if mode == "speechless":
            connection.open_events()
            connection.event(b'{"jsonrpc":"2.0","method":"notifications/message","params":{}}')
            return
        posts = self.elsewhere if mode == "elsewhere" else f"/messages/{mode}"
        channel = FaultyChannel(connection.event, mode, self.ledger, connection.transport.abort)
        endpoint.open(connection, channel, posts.encode())

    def _post(self, mode: str, endpoint: SseEndpoint, connection: wire.Connection) -> None:
        if mode == "forget" and _parsed(connection.body()).method == "tools/call":
            self.calls += 1
            if self.calls % 2 == 0:
                connection.respond(404)
                return
        endpoint.post(connection)


async def websockets(ledger: Ledger, port: int) -> None:
    """Serve every mode over WebSocket."""

    def session(connection: ServerConnection) -> Awaitable[None]:
        mode = (connection.request.path if connection.request else "").strip("/")
        cut = connection.transport.abort
        return serve_websocket(connection, lambda write: FaultyChannel(write, mode, ledger, cut))

    await announced(session, port)


async def main(options: argparse.Namespace) -> None:
    ledger = Ledger(options.ledger)
    if options.transport == "websocket":
        await wire.until_terminated(lambda: websockets(ledger, options.port))
    else:
        await wire.until_terminated(lambda: wire.listen(SseServer(ledger, options.elsewhere).serve, options.port))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--transport", choices=("sse", "websocket"), required=True)
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--ledger")
    arguments.add_argument("--elsewhere", default="")
    asyncio.run(main(arguments.parse_args()))
