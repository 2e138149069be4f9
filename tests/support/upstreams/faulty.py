"""An MCP upstream over HTTP that misbehaves, one way per path.

    python -m tests.support.upstreams.faulty --port 0 [--ledger FILE]

`/mode/NAME` fails where its mode usually does (see FAULTS); `/mode/NAME/list`, `/mode/NAME/call` and
`/mode/NAME/all` fail only there, and are healthy otherwise. Healthy parts list and answer the tool `ping`.
Every tools/call that arrives, healthy or not, appends its mode's name and a newline to the ledger; flood-lines and
flood-events (progress without end) append `ended` when their client has left.
Query: `?seconds=` for slow-list (3), `?calls=` for lost-session (2), `?bytes=` for huge (20 MiB and a bit).
`GET /hits` tells what below `/fetched/` was asked for, how often: nobody may follow the network $ref.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import msgspec

from tests.support.upstreams import wire
from tests.support.upstreams.echo import Ledger, tool
from tests.support.upstreams.endpoint import Endpoint
from tests.support.upstreams.rpc import (
    INVALID_PARAMS,
    Arguments,
    Era,
    Message,
    Peer,
    Reply,
    Tools,
    complete,
    parse,
    success,
    text_result,
)

_EVERYTHING = "all"
_LIST, _CALL = "list", "call"
_METHODS = {"tools/list": _LIST, "tools/call": _CALL}
_HUGE_BYTES = 20 * 1024 * 1024 + 4096
_COMMENT_SECONDS = 0.05
_BLOCK = b"x" * 65536
_FLOOD = 500
_LINES_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"

Fault = Callable[["Server", wire.Connection, Message], None]


class PingTools(Tools):
    name = "faulty"

    def __init__(self, extra: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__()
        self.tools = [tool("ping", "Returns pong", {}, [], {"readOnlyHint": True}), *extra]

    def call(self, name: str, arguments: Arguments, reply: Reply) -> None:
        if any(known["name"] == name for known in self.tools):
            reply.result(text_result(b'"pong"'))
        else:
            reply.error(INVALID_PARAMS, f"Unknown tool: {name}")


def bad_schemas(port: int) -> list[dict[str, Any]]:
    """Tools whose inputSchema a gateway must survive."""
    return [
        {"name": "bad_type", "description": "Not a schema", "inputSchema": {"type": 12}},
        tool(
            "network_ref",
            "Points to the network",
            {"text": {"$ref": f"http://127.0.0.1:{port}/fetched/text.json"}},
            [],
            {},
        ),
        tool(
            "slow_regex",
            "Backtracks for ever on a long run of a and then !",
            {"text": {"type": "string", "pattern": "^(a+)+$"}},
            ["text"],
            {},
        ),
    ]


class Server:
    """All modes: which are healthy endpoints, which methods they spoil, and how."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.port = 0
        self.hits: Counter[str] = Counter()
        self.endpoints: dict[str, Endpoint] = {}
        self.calls: Counter[bytes] = Counter()
        self.tasks: set[asyncio.Task[None]] = set()

    def serve(self, connection: wire.Connection) -> None:
        words = connection.path.strip("/").split("/")
        if words[0] == "mode" and len(words) in (2, 3) and words[1] in MODES:
            self._mode(words[1], words[2] if len(words) == 3 else None, connection)
        elif words[0] == "fetched":
            self.hits[connection.path] += 1
            connection.respond(200, b'{"type":"string"}')
        elif words[0] == "hits":
            connection.respond(200, json.dumps(self.hits).encode())
        else:
            connection.respond(404)

    def endpoint(self, path: str, mode: str) -> Endpoint:
        if path not in self.endpoints:
            extra = bad_schemas(self.port) if mode == "invalid-schema" else ()
            self.endpoints[path] = Endpoint(Peer(PingTools(extra), ERAS.get(mode, "both")))
        return self.endpoints[path]

    def healthy(self, connection: wire.Connection) -> None:
        path = connection.path
        self.endpoint(path, path.split("/")[2]).serve(connection)

    def start(self, work: Any) -> None:
        """Run a coroutine beside the connection it writes to."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _mode(self, mode: str, where: str | None, connection: wire.Connection) -> None:
        message = _message(connection)
        if message.method == "tools/call":
            self.ledger.append(mode)
        usual, fault = FAULTS.get(mode, ("", _none))
        where = where or usual
        if where == _EVERYTHING or (where and where == _METHODS.get(message.method)):
            fault(self, connection, message)
        else:
            self.healthy(connection)


def _message(connection: wire.Connection) -> Message:
    try:
        return parse(connection.body())
    except msgspec.MsgspecError:
        return Message()


def _query(connection: wire.Connection, name: str, default: float) -> float:
    query = parse_qs(connection.url.partition(b"?")[2].decode("latin-1"))
    return float(query.get(name, [str(default)])[0])


def _none(server: Server, connection: wire.Connection, message: Message) -> None:
    server.healthy(connection)


def _garbage(server: Server, connection: wire.Connection, message: Message) -> None:
    connection.respond(200, b'\x00\xff{"jsonrpc": not JSON at all]')


def _error_500(server: Server, connection: wire.Connection, message: Message) -> None:
    connection.respond(500, b"something broke", kind=b"text/plain")


def _hang(server: Server, connection: wire.Connection, message: Message) -> None:
    """Never answer, and keep the connection."""


def _endless(server: Server, connection: wire.Connection, message: Message) -> None:
    async def comments() -> None:
        while not connection.closing():
            connection.chunk(b": still here\n\n")
            await asyncio.sleep(_COMMENT_SECONDS)

    connection.open_events()
    server.start(comments())


def _endless_body(server: Server, connection: wire.Connection, message: Message) -> None:
    async def body() -> None:
        while not connection.closing():
            await connection.writable.wait()
            connection.chunk(_BLOCK)
            await asyncio.sleep(0)

    connection.transport.write(_LINES_OK)
    connection.chunk(b'{"jsonrpc":"2.0","id":%b,"result":{"text":"' % (bytes(message.id) or b"0"))
    server.start(body())


def _flood(server: Server, connection: wire.Connection, message: Message, *, events: bool) -> None:
    token = json.loads(connection.body())["params"]["_meta"]["progressToken"]
    said = b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%d,"progress":1}}' % token
    block = (b"data: %b\n\n" % said if events else said + b"\n") * _FLOOD

    async def say() -> None:
        while not connection.closing():
            connection.chunk(block)
            await asyncio.sleep(0)
            await connection.writable.wait()
        server.ledger.append("ended")

    if events:
        connection.open_events()
    else:
        connection.transport.write(_LINES_OK)
    server.start(say())


def _drop_mid_call(server: Server, connection: wire.Connection, message: Message) -> None:
    """Close after half of the answer."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    connection.transport.write(head + b'{"jsonrpc":"2.0","id":%b,"res' % message.id)
    connection.transport.close()


def _drop_silent(server: Server, connection: wire.Connection, message: Message) -> None:
    """Close without a byte: some HTTP clients send such a request again by themselves."""
    connection.transport.close()


def _lost_session(server: Server, connection: wire.Connection, message: Message) -> None:
    """Answer, but forget the session after some calls, so that the next request gets a 404."""
    session = connection.headers.get(b"mcp-session-id", b"")
    server.healthy(connection)
    server.calls[session] += 1
    if server.calls[session] >= _query(connection, "calls", 2):
        server.endpoint(connection.path, "lost-session").end(session)


def _wrong_id(server: Server, connection: wire.Connection, message: Message) -> None:
    body = complete(text_result(b'"pong"'), message.modern, cacheable=True)
    connection.json(success(b'"somebody-else"', body))


def _huge(server: Server, connection: wire.Connection, message: Message) -> None:
    text = b'"%b"' % (b"x" * int(_query(connection, "bytes", _HUGE_BYTES)))
    connection.json(success(message.id, complete(text_result(text), message.modern)))


def _slow_list(server: Server, connection: wire.Connection, message: Message) -> None:
    delay = _query(connection, "seconds", 3.0)
    asyncio.get_running_loop().call_later(delay, server.healthy, connection)


FAULTS: dict[str, tuple[str, Fault]] = {
    "garbage": (_EVERYTHING, _garbage),
    "500": (_EVERYTHING, _error_500),
    "hang": (_EVERYTHING, _hang),
    "endless": (_EVERYTHING, _endless),
    "endless-body": (_EVERYTHING, _endless_body),
    "flood-lines": (_CALL, partial(_flood, events=False)),
    "flood-events": (_CALL, partial(_flood, events=True)),
    "drop-mid-call": (_CALL, _drop_mid_call),
    "drop-silent": (_CALL, _drop_silent),
    "lost-session": (_CALL, _lost_session),
    "wrong-id": (_CALL, _wrong_id),
    "huge": (_CALL, _huge),
    "slow-list": (_LIST, _slow_list),
}
ERAS: dict[str, Era] = {"legacy": "2025", "modern": "2026", "lost-session": "2025"}
MODES = frozenset({*FAULTS, *ERAS, "invalid-schema", "healthy"})


async def main(options: argparse.Namespace) -> None:
    server = Server(Ledger(options.ledger))

    async def start() -> None:
        server.port = await wire.listen(server.serve, options.port)

    await wire.until_terminated(start)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--ledger")
    wire.run(main(arguments.parse_args()))
