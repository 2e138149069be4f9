"""The pipes towards servers (the older HTTP+SSE, WebSocket) and the session over any of them, without a worker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from callboard.contracts.definitions import ServerDefinition
from callboard_connectors.registry.domain import ServerKey, Wanted
from callboard_connectors.sessions.domain import Opening, expected_transport
from callboard_connectors.sessions.pipe_session import PipeSession
from callboard_connectors.sessions.session import UNHEARD, Outgoing
from callboard_connectors.sessions.upstream import Upstream
from callboard_connectors.transports.envelope import Envelope
from callboard_connectors.transports.failures import InvalidAnswer, SessionUnknown, StatusRefused, TransportFailure
from callboard_connectors.transports.http import watch_peer
from callboard_connectors.transports.sse_link import SseLink
from callboard_connectors.transports.websocket import WebSocketLink
from tests.connectors.test_http_wire import certificate
from tests.support.waiting import eventually
from tests.support.ways_out import LOCAL

MAX = 1 << 20


class Heard:
    """What a pipe said to whoever opened it."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.reasons: list[str] = []
        self.written = 0

    def wrote(self) -> None:
        self.written += 1


@contextlib.asynccontextmanager
async def websocket_server(
    serve_one: Callable[[ServerConnection], object], **options: object
) -> AsyncIterator[tuple[int, list[Request]]]:
    seen: list[Request] = []

    async def handler(connection: ServerConnection) -> None:
        assert connection.request is not None
        seen.append(connection.request)
        with contextlib.suppress(Exception):
            await serve_one(connection)  # type: ignore[misc]

    async with serve(handler, "localhost", 0, close_timeout=0.2, **options) as server:  # type: ignore[arg-type]
        yield next(iter(server.sockets)).getsockname()[1], seen


async def echoing(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


@contextlib.asynccontextmanager
async def linked(
    url: str, heard: Heard, headers: dict[str, str] | None = None, limit: int = MAX
) -> AsyncIterator[WebSocketLink]:
    link = WebSocketLink(url, headers or {}, limit, 2.0, LOCAL)
    try:
        await link.open(heard.messages.append, heard.reasons.append)
        yield link
    finally:
        await link.close()


async def test_a_websocket_carries_text_both_ways_and_the_headers_of_the_definition() -> None:
    heard = Heard()
    headers = {"Authorization": "Bearer s3cr3t", "Sec-WebSocket-Protocol": "evil", "Host": "evil"}
    async with (
        websocket_server(echoing, subprotocols=["mcp"]) as (port, seen),
        linked(f"ws://localhost:{port}/mcp?a=b", heard, headers) as link,
    ):
        await link.write('{"ü":1}'.encode(), heard.wrote)
        await eventually(lambda: heard.messages == ['{"ü":1}'.encode()])
        assert heard.written == 1
    (request,) = seen
    assert request.path == "/mcp?a=b"
    assert request.headers["Authorization"] == "Bearer s3cr3t"
    assert request.headers.get_all("Sec-WebSocket-Protocol") == ["mcp"]
    assert request.headers["Host"] == f"localhost:{port}"
    assert "Sec-WebSocket-Extensions" not in request.headers
    assert heard.reasons == [], "whoever closes is not told"


@pytest.mark.parametrize("to", ["ws://localhost:{}/other", "http://127.0.0.1:{}/", "/other"])
async def test_a_websocket_follows_no_redirect(to: str) -> None:
    def redirect(connection: ServerConnection, request: Request) -> Response:
        port = connection.local_address[1]
        return Response(HTTPStatus.TEMPORARY_REDIRECT, "", Headers(Location=to.format(port)))

    async with websocket_server(echoing, process_request=redirect) as (port, seen):
        with pytest.raises(StatusRefused, match="redirects elsewhere"):
            async with linked(f"ws://localhost:{port}/", Heard()):
                pass
    assert seen == []


async def test_wss_wants_a_certificate_that_this_machine_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    heard = Heard()
    async with websocket_server(echoing, ssl=context) as (port, _):
        with pytest.raises(TransportFailure, match="certificate was not accepted") as failed:
            async with linked(f"wss://localhost:{port}/", heard):
                pass
        assert not failed.value.sent
        trusting: Callable[[], ssl.SSLContext] = lambda: ssl.create_default_context(cafile=str(cert))  # noqa: E731
        monkeypatch.setattr("callboard_connectors.transports.websocket.tls", trusting)
        async with linked(f"wss://localhost:{port}/", heard) as link:
            await link.write(b"{}", heard.wrote)
            await eventually(lambda: heard.messages == [b"{}"])


async def test_who_ended_a_websocket_and_why_is_told_once() -> None:
    async def goes_away(connection: ServerConnection) -> None:
        await connection.close(1012)

    async def vanishes(connection: ServerConnection) -> None:
        connection.transport.abort()

    async def floods(connection: ServerConnection) -> None:
        await connection.send("x" * (MAX + 1))

    async def breaks_the_rules(connection: ServerConnection) -> None:
        connection.transport.write(b"\x83\x01?")

    for serve_one, words in (
        (goes_away, "it closed the connection (WebSocket 1012)"),
        (vanishes, "it closed the connection without a word"),
        (floods, f"it sent a message of more than {MAX} bytes"),
        (breaks_the_rules, "it does not keep to the WebSocket protocol"),
    ):
        heard = Heard()
        async with websocket_server(serve_one) as (port, _), linked(f"ws://localhost:{port}/", heard) as link:
            await eventually(lambda heard=heard: heard.reasons)  # type: ignore[misc]
            assert heard.reasons == [words]
            with pytest.raises(TransportFailure) as refused:
                await link.write(b"{}", heard.wrote)
            assert not refused.value.sent
            assert heard.written == 0


async def test_a_server_that_does_not_answer_pings_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callboard_connectors.transports.websocket.PING_SECONDS", 0.1)

    over = asyncio.Event()

    async def deaf(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await over.wait()
        connection.transport.abort()

    heard = Heard()
    async with websocket_server(deaf, ping_interval=None) as (port, _):
        async with linked(f"ws://localhost:{port}/", heard):
            await eventually(lambda: heard.reasons == ["it did not answer our pings"])
        over.set()


async def test_what_is_no_websocket_server_is_named() -> None:
    async def shouts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\xff what do you want?\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(shouts, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(InvalidAnswer, match="did not answer in HTTP"):
            async with linked(f"ws://127.0.0.1:{port}/", Heard()):
                pass
    with pytest.raises(TransportFailure, match="connection refused"):
        async with linked(f"ws://127.0.0.1:{port}/", Heard()):
            pass
    with pytest.raises(TransportFailure, match="not allowed"):
        async with linked("ws://127.0.0.1:1/", Heard(), {"X-Key": "a\r\nHost: evil"}):
            pass


# ------------------------------------------------------------------------------- the older HTTP+SSE


class OldServer:
    """Answers GET with what it was given, and writes down what is posted."""

    def __init__(self, stream: bytes, post: bytes = b"202 Accepted") -> None:
        self.stream = stream
        self.post = post
        self.requests: list[bytes] = []
        self.port = 0
        self.streams: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(head)
                if head.startswith(b"GET"):
                    self.streams.append(writer)
                    writer.write(self.stream.replace(b"PORT", b"%d" % self.port))
                    continue
                length = int(head.lower().partition(b"content-length: ")[2].split()[0])
                await reader.readexactly(length)
                writer.write(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % self.post)


def stream(*events: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    return head + b"".join(event + b"\n\n" for event in events)


@contextlib.asynccontextmanager
async def old_server(answer: bytes, post: bytes = b"202 Accepted") -> AsyncIterator[OldServer]:
    old = OldServer(answer, post)
    server = await asyncio.start_server(old.serve, "127.0.0.1", 0)
    old.port = server.sockets[0].getsockname()[1]
    try:
        yield old
    finally:
        for writer in old.streams:
            writer.close()
        server.close()


@contextlib.asynccontextmanager
async def sse(old: OldServer, heard: Heard, headers: dict[str, str] | None = None) -> AsyncIterator[SseLink]:
    link = SseLink(f"http://127.0.0.1:{old.port}/base/sse", headers or {}, MAX, 1.0, LOCAL)
    try:
        await link.open(heard.messages.append, heard.reasons.append)
        yield link
    finally:
        await link.close()


@pytest.mark.parametrize(
    ("endpoint", "path"),
    [
        (b"/messages?session=1", b"/messages?session=1"),
        (b"messages?session=1", b"/base/messages?session=1"),
        (b"?session=1", b"/base/sse?session=1"),
        (b"http://127.0.0.1:PORT/m", b"/m"),
        (b"//127.0.0.1:PORT/m", b"/m"),
    ],
)
async def test_messages_are_posted_where_the_stream_says_with_the_headers_of_the_definition(
    endpoint: bytes, path: bytes
) -> None:
    heard = Heard()
    opening = stream(b"event: endpoint\ndata: " + endpoint, b"data: {}", b"event: other\ndata: x")
    async with old_server(opening) as old, sse(old, heard, {"X-Key": "s3cr3t", "Accept": "evil"}) as link:
        await link.write(b'{"a":1}', heard.wrote)
        got, posted = old.requests
        assert got.startswith(b"GET /base/sse HTTP/1.1\r\n")
        assert b"\r\nAccept: text/event-stream\r\n" in got
        assert posted.startswith(b"POST " + path + b" HTTP/1.1\r\n")
        assert all(b"\r\nX-Key: s3cr3t\r\n" in head and b"evil" not in head for head in (got, posted))
        await eventually(lambda: heard.messages == [b"{}"])


@pytest.mark.parametrize(
    "endpoint",
    [
        b"http://127.0.0.1:1/m",
        b"http://localhost:PORT/m",
        b"https://127.0.0.1:PORT/m",
        b"//evil.example/m",
        b"http://127.0.0.1:PORT@evil.example/m",
        b"ftp://127.0.0.1/m",
        b"http://[/",
    ],
)
async def test_an_endpoint_on_another_origin_is_refused(endpoint: bytes) -> None:
    async with old_server(stream(b"event: endpoint\ndata: " + endpoint)) as old:
        with pytest.raises(InvalidAnswer, match="another origin"):
            async with sse(old, Heard()):
                pass
        assert len(old.requests) == 1


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (stream(b"data: {}"), InvalidAnswer, "without saying where to post"),
        (stream() + b": nothing\n\n", TimeoutError, None),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", StatusRefused, "HTTP 404"),
        (b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", StatusRefused, "credentials"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", StatusRefused, "no event stream"),
        (b"nonsense\r\n\r\n", TransportFailure, "HTTP"),
    ],
)
async def test_what_does_not_open_such_a_session_is_named(
    answer: bytes, error: type[Exception], words: str | None
) -> None:
    async with old_server(answer) as old:
        with pytest.raises(error, match=words):
            async with sse(old, Heard()):
                pass


@pytest.mark.parametrize(
    ("status", "error", "ends"),
    [
        (b"404 Not Found", SessionUnknown, True),
        (b"410 Gone", SessionUnknown, True),
        (b"403 Forbidden", StatusRefused, False),
        (b"500 Oops", StatusRefused, False),
    ],
)
async def test_a_refused_message_was_not_executed_and_a_forgotten_session_is_over(
    status: bytes, error: type[Exception], ends: bool
) -> None:
    heard = Heard()
    async with old_server(stream(b"event: endpoint\ndata: /m"), status) as old, sse(old, heard) as link:
        with pytest.raises(error):
            await link.write(b"{}", heard.wrote)
        assert heard.reasons == (["it forgot the session"] if ends else [])


async def test_the_end_of_the_stream_is_told() -> None:
    heard = Heard()
    async with old_server(stream(b"event: endpoint\ndata: /m")) as old, sse(old, heard):
        old.streams[0].close()
        await eventually(lambda: heard.reasons == ["it ended its stream"])


async def test_the_kernel_watches_over_connections_that_may_be_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as connection:
        watch_peer(connection)
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 20


# ------------------------------------------------------------------------------------- the session


class Scripted:
    """A pipe whose other side is the test."""

    transport = "scripted"

    def __init__(self) -> None:
        self.sent: list[dict[str, object]] = []
        self.strange: list[bytes] = []
        self.writable = asyncio.Event()
        self.writable.set()

    async def open(self, take: Callable[[bytes], None], ended: Callable[[str], None]) -> None:
        self.take, self.ended = take, ended

    async def write(self, message: bytes, written: Callable[[], None]) -> None:
        await self.writable.wait()
        written()
        self.sent.append(json.loads(message))

    def foreign(self, message: bytes) -> None:
        self.strange.append(message)

    async def close(self) -> None:
        self.writable.set()


class Caller:
    """A listener that answers questions and remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    async def notified(self, envelope: Envelope, raw: bytes) -> None:
        self.heard.append(raw)

    def written(self) -> None:
        pass

    async def asked(self, envelope: Envelope) -> bytes | None:
        return b'{"result":{"roots":[]}}'


@contextlib.asynccontextmanager
async def session(*, mirrored: bool = False) -> AsyncIterator[tuple[PipeSession, Scripted]]:
    pipe = Scripted()
    opened = PipeSession(pipe, mirrored=mirrored)
    await opened.open()
    try:
        yield opened, pipe
    finally:
        await opened.close()


def call(opened: PipeSession, listener: Caller) -> tuple[int, asyncio.Task[Envelope]]:
    number = opened.next_id()
    message = b'{"jsonrpc":"2.0","id":%d,"method":"tools/call"}' % number
    return number, asyncio.create_task(opened.call(Outgoing(number, "tools/call", message), listener))


def said(**message: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **message}).encode()


async def test_answers_find_their_requests_in_whatever_order_they_come() -> None:
    async with session() as (opened, pipe):
        calls = [call(opened, Caller()) for _ in range(20)]
        await eventually(lambda: len(pipe.sent) == 20)
        for number, _ in reversed(calls):
            pipe.take(said(id=number, result={"n": number}))
        for number, task in calls:
            assert json.loads(bytes((await task).result)) == {"n": number}


async def test_a_notification_reaches_only_whom_it_concerns() -> None:
    async with session() as (opened, pipe):
        (first, one), (_, two) = call(opened, alice := Caller()), call(opened, bob := Caller())
        await eventually(lambda: len(pipe.sent) == 2)
        progress = said(method="notifications/progress", params={"progressToken": first, "progress": 1})
        pipe.take(progress)
        pipe.take(said(method="notifications/message", params={"level": "info", "data": "whose?"}))
        pipe.take(said(id=1, result={}))
        pipe.take(said(id=2, result={}))
        await asyncio.gather(one, two)
        assert (alice.heard, bob.heard) == ([progress], [])


@pytest.mark.parametrize(("mirrored", "answer"), [(True, "result"), (False, "error")])
async def test_what_the_server_asks_goes_to_the_client_that_the_session_speaks_for(mirrored: bool, answer: str) -> None:
    async with session(mirrored=mirrored) as (opened, pipe):
        _, task = call(opened, Caller())
        await eventually(lambda: len(pipe.sent) == 1)
        pipe.take(said(id="q", method="roots/list"))
        await eventually(lambda: len(pipe.sent) == 2)
        assert pipe.sent[1]["id"] == "q"
        assert answer in pipe.sent[1]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: len(pipe.sent) == 3)
        assert pipe.sent[2] == {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}


async def test_a_call_that_was_not_written_yet_is_not_cancelled_there() -> None:
    async with session() as (opened, pipe):
        pipe.writable.clear()
        _, task = call(opened, Caller())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        pipe.writable.set()
        _, other = call(opened, Caller())
        await eventually(lambda: len(pipe.sent) == 1)
        pipe.take(said(id=2, result={}))
        await other
        assert [message["method"] for message in pipe.sent] == ["tools/call"]


async def test_the_end_of_the_pipe_ends_every_call_and_whoever_asks_later_is_told_too() -> None:
    async with session() as (opened, pipe):
        tasks = [call(opened, Caller())[1] for _ in range(3)]
        await eventually(lambda: len(pipe.sent) == 3)
        reasons: list[str] = []
        opened.on_end(reasons.append)
        pipe.ended("it fell over")
        for task in tasks:
            with pytest.raises(TransportFailure, match="fell over") as lost:
                await task
            assert lost.value.sent, "nobody knows what became of it"
        with pytest.raises(TransportFailure) as refused:
            await opened.call(Outgoing(9, "ping", b"{}"), UNHEARD)
        assert not refused.value.sent
        opened.on_end(reasons.append)
        await eventually(lambda: reasons == ["it fell over"] * 2)


async def test_a_server_that_asks_without_end_and_reads_nothing_fills_no_memory() -> None:
    async with session() as (_, pipe):
        pipe.writable.clear()
        for number in range(5000):
            pipe.take(said(id=number, method="ping"))
        pipe.writable.set()
        await eventually(lambda: pipe.sent)
        await asyncio.sleep(0)
        assert len(pipe.sent) <= 256


async def test_what_is_no_message_is_left_to_the_pipe() -> None:
    async with session() as (_, pipe):
        for text in (b"{not json", b"[1,2", b'{"json": "but not rpc"}', b"", b"  "):
            pipe.take(text)
        assert pipe.strange == [b"{not json", b"[1,2", b'{"json": "but not rpc"}']


class Opener:
    """Opens sessions over scripted pipes."""

    def __init__(self) -> None:
        self.pipes: list[Scripted] = []

    async def open(self, *_: object) -> PipeSession:
        self.pipes.append(Scripted())
        opened = PipeSession(self.pipes[-1])
        await opened.open()
        opened.adopt(Opening(era="2025-11-25"))
        return opened


async def test_a_lost_connection_counts_once_whatever_was_in_flight_and_an_answered_call_clears_it() -> None:
    opener, wanted = Opener(), Wanted(definition=ServerDefinition(url="wss://x/mcp"), revision=1)
    upstream = Upstream(ServerKey("acme", "x"), wanted, opener, lambda: 100.0)  # type: ignore[arg-type]
    lost = await upstream.session()
    opener.pipes[0].ended("it fell over")
    for _ in range(10):
        upstream.missed("it fell over")
    assert (round(upstream.pause(), 3), upstream.restarts, upstream.state) == (0.2, 1, "OFFLINE")
    found = await upstream.session()
    assert found is not lost
    assert upstream.pause() > 0, "a connection proves itself by staying"
    upstream.answered()
    assert upstream.pause() == 0.0
    assert await upstream.renew(found) is found, "it still stands"
    await upstream.close()


@pytest.mark.parametrize(
    ("definition", "transport"),
    [
        (ServerDefinition(url="https://x/mcp"), "http"),
        (ServerDefinition(url="https://x/sse", transport="sse"), "sse"),
        (ServerDefinition(url="https://x/mcp", transport="streamable"), "http"),
        (ServerDefinition(url="wss://x/mcp"), "websocket"),
        (ServerDefinition(command=("x",)), "stdio"),
    ],
)
def test_a_definition_says_what_will_carry_its_sessions(definition: ServerDefinition, transport: str) -> None:
    assert expected_transport(definition) == transport
