"""Servers that keep to the protocol loosely: questions beside the call, lines where events belong, odd refusals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from callboard.contracts.calls import LEGACY, MODERN
from callboard.contracts.definitions import ServerDefinition
from callboard_connectors.sessions.domain import Opening
from callboard_connectors.sessions.http_session import HttpSession
from callboard_connectors.sessions.negotiate import negotiate
from callboard_connectors.sessions.session import UNHEARD, Outgoing, Unheard
from callboard_connectors.transports.envelope import Envelope, RpcRefused
from callboard_connectors.transports.failures import InvalidAnswer, TransportFailure
from callboard_connectors.transports.http import HttpLink
from tests.conformance.connector import Connector
from tests.support.upstreams import wire
from tests.support.waiting import PATIENCE, eventually, promised
from tests.support.ways_out import LOCAL

MAX = 70_000
JSON_LINES = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
LOG = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"hello"}}'
RESULT = b'{"jsonrpc":"2.0","id":"7","result":{"content":[]}}'


@asynccontextmanager
async def serving(serve: Callable[[wire.Connection], None]) -> AsyncIterator[str]:
    server = await asyncio.get_running_loop().create_server(lambda: wire.Connection(serve), "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    finally:
        server.close()


class Asking:
    """A handshake server that logs and asks on the session's own stream, not on that of the call."""

    def __init__(self, *, has_stream: bool = True) -> None:
        self.has_stream = has_stream
        self.streams: dict[bytes, wire.Connection] = {}
        self.waiting: dict[bytes, tuple[wire.Connection, Any]] = {}
        self.answers: list[Any] = []

    def serve(self, connection: wire.Connection) -> None:
        session = connection.headers.get(b"mcp-session-id", b"")
        if connection.method == b"GET" and self.has_stream:
            connection.open_events()
            self.streams[session] = connection
        elif connection.method != b"POST":
            connection.respond(405)
        else:
            self.posted(connection, session, json.loads(connection.body()))

    def posted(self, connection: wire.Connection, session: bytes, message: dict[str, Any]) -> None:
        method = message.get("method")
        if method == "initialize":
            number = len(self.streams) + 1
            result = {"protocolVersion": LEGACY, "capabilities": {"tools": {}}, "serverInfo": {"name": "asking"}}
            body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
            connection.respond(200, body, extra=b"Mcp-Session-Id: s%d\r\n" % number)
        elif method == "tools/list":
            tools = [{"name": "ask", "inputSchema": {"type": "object"}}]
            connection.json(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {"tools": tools}}).encode())
        elif method == "tools/call":
            self.called(connection, session, message)
        elif method is None:
            self.answers.append(message)
            connection.respond(202)
            self.done(session, message["result"]["action"])
        else:
            connection.respond(202 if "id" not in message else 404)

    def called(self, connection: wire.Connection, session: bytes, message: dict[str, Any]) -> None:
        self.waiting[session] = (connection, message["id"])
        if not self.has_stream:
            self.done(session, "nobody to ask")
            return
        self.streams[session].event(LOG)
        form = {"message": "?", "requestedSchema": {"type": "object", "properties": {}}}
        question = {"jsonrpc": "2.0", "id": "q1", "method": "elicitation/create", "params": form}
        self.streams[session].event(json.dumps(question).encode())

    def done(self, session: bytes, text: str) -> None:
        connection, number = self.waiting.pop(session)
        result = {"content": [{"type": "text", "text": text}]}
        connection.json(json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode())


async def test_what_a_server_asks_beside_its_calls_reaches_the_client_of_the_call() -> None:
    server = Asking()
    async with serving(server.serve) as url, Connector(ServerDefinition(url=url)) as connector:
        result = await connector.call(LEGACY, "tools/call", "ask", {"name": "ask"})
        assert result["content"][0]["text"] == "accept"
        assert [heard["params"]["data"] for heard in connector.heard] == ["hello"]
        assert [answer["id"] for answer in server.answers] == ["q1"]


async def test_what_a_server_asks_while_no_call_runs_is_refused() -> None:
    server = Asking()
    async with serving(server.serve) as url, Connector(ServerDefinition(url=url)) as connector:
        await connector.call(LEGACY, "tools/call", "ask", {"name": "ask"})
        stream = server.streams[max(server.streams)]
        stream.event(b'{"jsonrpc":"2.0","id":"q2","method":"elicitation/create","params":{}}')
        refused = await eventually(lambda: next((each for each in server.answers if each["id"] == "q2"), None))
        assert refused is not None
        assert refused["error"]["code"] == -32601


async def test_a_server_without_a_stream_of_its_own_is_called_all_the_same() -> None:
    server = Asking(has_stream=False)
    async with serving(server.serve) as url, Connector(ServerDefinition(url=url)) as connector:
        result = await connector.call(LEGACY, "tools/call", "ask", {"name": "ask"})
        assert result["content"][0]["text"] == "nobody to ask"


# ------------------------------------------------------------------------------------ lines of JSON


class Hearing(Unheard):
    """Says when it heard something."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()

    async def notified(self, envelope: Envelope, raw: bytes) -> None:
        assert raw == LOG
        self.heard.set()


@asynccontextmanager
async def trickling() -> AsyncIterator[tuple[HttpSession, asyncio.Future[wire.Connection]]]:
    """A session, and the connection of its next call after the head of its answer was sent."""
    asked: asyncio.Future[wire.Connection] = asyncio.get_running_loop().create_future()

    def serve(connection: wire.Connection) -> None:
        connection.transport.write(JSON_LINES)
        asked.set_result(connection)

    async with serving(serve) as url:
        session = HttpSession(HttpLink(url, MAX, 5.0, LOCAL), {})
        session.adopt(Opening(era=MODERN))
        yield session, asked
        await session.close()


CALL = Outgoing(7, "tools/call", b'{"jsonrpc":"2.0","id":7,"method":"tools/call"}')


async def test_lines_of_json_are_heard_as_they_come() -> None:
    hearing = Hearing()
    async with trickling() as (session, asked):
        call = asyncio.create_task(session.call(CALL, hearing))
        connection = await asyncio.wait_for(asked, PATIENCE)
        connection.chunk(LOG[:20])
        connection.chunk(LOG[20:] + b"\n" + RESULT[:10])
        await promised(hearing.heard.is_set, within=5)
        assert not call.done()
        connection.chunk(RESULT[10:] + b"\n")
        assert bytes((await asyncio.wait_for(call, PATIENCE)).result) == b'{"content":[]}'


@pytest.mark.parametrize(
    "pieces",
    [
        [RESULT[:5], RESULT[5:]],
        [b'{\n "jsonrpc": "2.0",\n', b' "id": 7,\n "result": {"content":[]}\n}\n'],
        [LOG + b"\n\n", RESULT],
        [LOG + b"\r\n" + RESULT + b"\r\n"],
    ],
)
async def test_a_body_of_unknown_length_is_understood_however_it_is_cut(pieces: list[bytes]) -> None:
    async with trickling() as (session, asked):
        call = asyncio.create_task(session.call(CALL, UNHEARD))
        connection = await asyncio.wait_for(asked, PATIENCE)
        for piece in pieces:
            connection.chunk(piece)
            await asyncio.sleep(0)
        connection.close_events()
        assert bytes((await asyncio.wait_for(call, PATIENCE)).result) == b'{"content":[]}'


@pytest.mark.parametrize(
    "pieces",
    [
        [b"x" * MAX, b"x"],
        [LOG + b"\n", b"x" * MAX, b"x"],
        [LOG + b"\n", b"not JSON\n"],
        [LOG + b"\n", RESULT.replace(b"7", b"8") + b"\n"],
        [LOG + b"\n", RESULT[:10]],
    ],
)
async def test_lines_that_lead_to_no_answer_are_a_fault_within_bounds(pieces: list[bytes]) -> None:
    async with trickling() as (session, asked):
        call = asyncio.create_task(session.call(CALL, UNHEARD))
        connection = await asyncio.wait_for(asked, PATIENCE)
        for piece in pieces:
            connection.chunk(piece)
            await asyncio.sleep(0)
        connection.close_events()
        with pytest.raises(InvalidAnswer):
            await asyncio.wait_for(call, 5)


async def test_lines_that_end_without_an_answer_leave_the_outcome_open() -> None:
    hearing = Hearing()
    async with trickling() as (session, asked):
        call = asyncio.create_task(session.call(CALL, hearing))
        connection = await asyncio.wait_for(asked, PATIENCE)
        connection.chunk(LOG + b"\n")
        await promised(hearing.heard.is_set, within=5)
        connection.close_events()
        with pytest.raises(TransportFailure) as failure:
            await asyncio.wait_for(call, 5)
        assert failure.value.sent


# ---------------------------------------------------------------------------------- odd refusals


class Refusing:
    """Refuses `server/discover` some times in the very version that it names."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.asked: list[str] = []

    async def ask_as(self, version: str, method: str, params: dict[str, object], within: float) -> bytes:
        self.asked.append(method)
        if method == "initialize":
            return msgspec.json.encode({"protocolVersion": LEGACY})
        if len(self.asked) <= self.times:
            raise RpcRefused(b'{"code":-32022,"message":"no","data":{"supported":["2026-07-28"]}}')
        return msgspec.json.encode({"supportedVersions": [MODERN]})

    async def tell_as(self, version: str, method: str) -> None:
        self.asked.append(method)


async def test_a_version_that_is_refused_and_named_is_spoken_once_more() -> None:
    server = Refusing(1)
    assert (await negotiate(server, 1.0)).era == MODERN
    assert server.asked == ["server/discover"] * 2


async def test_a_version_that_is_refused_again_is_given_up() -> None:
    server = Refusing(9)
    assert (await negotiate(server, 1.0)).era == LEGACY
    assert server.asked[:3] == ["server/discover", "server/discover", "initialize"]
