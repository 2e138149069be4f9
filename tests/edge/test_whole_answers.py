"""An answer of known length leaves in one piece, and everything else as before: on a real uvicorn and a real socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

from callboard_edge import stalled, whole_answers
from callboard_edge.whole_answers import WholeAnswers, cycle_of
from tests.support.waiting import PATIENCE

HEAD = b"HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 5\r\n\r\n"


class App:
    """Answers by path; `/later` and `/stream` wait before their body until they are told to go on."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            await self.go.wait()
            await send({"type": "websocket.send", "text": "here"})
            return
        path: str = scope["path"]
        part = {"type": "http.response.body"}
        if path == "/direct":
            cycle = cycle_of(send)
            assert cycle is not None
            assert cycle is cycle_of(receive)
            body = cycle.whole_body(1000)
            if scope["method"] == "POST" and body is None:
                body, more = b"", True
                while more:
                    received = await receive()
                    body, more = body + received["body"], received["more_body"]
            if cycle.answer(200, ((b"x-a", b"b"),), body or b"hello"):
                return
            path = "/"
        if path == "/left":
            await self._until_left(receive)
            return
        if path == "/body":
            path = await self._body_or_not(receive, path)
        length = [] if path == "/stream" else [(b"content-length", b"7" if path == "/wrong" else b"5")]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"b"), *length]})
        if path == "/fails":
            raise ValueError
        if path in ("/later", "/stream"):
            await self.go.wait()
        if path == "/parts":
            await send({**part, "body": b"he", "more_body": True})
        text = b"" if scope["method"] == "HEAD" else b"hello"
        await send({**part, "body": text[2:] if path == "/parts" else text})

    async def _body_or_not(self, receive: Any, path: str) -> str:
        try:
            while (await receive())["more_body"]:
                pass
        except TimeoutError:
            return "/"
        return path

    async def _until_left(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left.set()


class Client:
    def __init__(self, app: App, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.app = app
        self._reader = reader
        self._writer = writer

    def ask(self, path: str, method: str = "GET", more: str = "") -> None:
        self._writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())

    def leave(self) -> None:
        self._writer.close()

    def more(self, text: str) -> None:
        self._writer.write(text.encode())

    async def read(self) -> bytes:
        return await asyncio.wait_for(self._reader.read(65_536), PATIENCE)

    async def nothing_for(self, seconds: float) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self._reader.read(1), seconds)

    async def exactly(self, expected: bytes) -> bool:
        return await asyncio.wait_for(self._reader.readexactly(len(expected)), PATIENCE) == expected


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    app = App()
    config = uvicorn.Config(
        app,
        http=stalled.HttpProtocol,
        ws=stalled.SocketProtocol,
        lifespan="off",
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_keep_alive=1,
    )
    server, listener = uvicorn.Server(config), socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    yield Client(app, reader, writer)
    writer.close()
    server.should_exit = True
    await asyncio.wait_for(task, PATIENCE)


async def test_head_and_body_come_in_one_piece(client: Client) -> None:
    for _ in range(3):
        client.ask("/")
        assert await client.read() == HEAD + b"hello"


async def test_requests_sent_ahead_are_answered_in_order(client: Client) -> None:
    client.ask("/later")
    client.ask("/parts")
    client.ask("/")
    await client.nothing_for(0.05)
    client.app.go.set()
    assert await client.exactly((HEAD + b"hello") * 3)


async def test_a_request_that_runs_hears_that_its_client_left_also_when_another_was_sent_ahead(client: Client) -> None:
    client.ask("/left")
    client.ask("/")
    await client.nothing_for(0.05)
    client.leave()
    await asyncio.wait_for(client.app.left.wait(), PATIENCE)


def test_long_values_of_headers_are_not_remembered() -> None:
    """A preflight is told back what it asked for, and anybody may send one."""
    before = whole_answers._short_line.cache_info().currsize

    assert whole_answers._line(b"x-long", b"v" * 300) == b"x-long: " + b"v" * 300 + b"\r\n"
    with pytest.raises(RuntimeError):
        whole_answers._line(b"x-long", b"v" * 300 + b"\n")

    assert whole_answers._short_line.cache_info().currsize == before


async def test_a_stream_begins_before_there_is_anything_to_say(client: Client) -> None:
    client.ask("/stream")
    assert await client.exactly(b"HTTP/1.1 200 OK\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n")
    client.app.go.set()
    assert await client.exactly(b"5\r\nhello\r\n0\r\n\r\n")


async def test_a_head_alone_stays_one(client: Client) -> None:
    client.ask("/", "HEAD")
    client.ask("/")
    assert await client.exactly(HEAD + HEAD + b"hello")


async def test_a_client_that_wants_the_connection_closed_gets_that(client: Client) -> None:
    client.ask("/", more="Connection: close\r\n")
    assert await client.exactly(HEAD[:-2] + b"connection: close\r\n\r\nhello")
    assert await client.read() == b""


async def test_a_whole_answer_is_the_same_without_messages(client: Client) -> None:
    client.ask("/later")
    for _ in range(3):
        client.ask("/direct")
    await client.nothing_for(0.05)
    client.app.go.set()
    assert await client.exactly((HEAD + b"hello") * 4), "in turn, also when they were sent ahead"
    client.ask("/direct", "HEAD")
    client.ask("/direct", more="Connection: close\r\n")
    assert await client.exactly(HEAD + HEAD[:-2] + b"connection: close\r\n\r\nhello")
    assert await client.read() == b""


async def test_a_body_is_handed_over_when_it_is_whole_and_no_sooner(client: Client) -> None:
    for body in ("abcde", "fghij"):
        client.ask("/direct", "POST", "Content-Length: 5\r\n")
        client.more(body[:-2])
        await client.nothing_for(0.05)
        client.more(body[-2:])
        assert await client.exactly(HEAD + body.encode())


@pytest.fixture
def cycle() -> WholeAnswers:
    """Of a connection that nobody reads; its request has no body yet."""
    flow = SimpleNamespace(resume_reading=lambda: None, write_paused=True)
    rest = (
        "transport",
        "logger",
        "access_logger",
        "access_log",
        "on_response_complete",
        "expect_100_continue",
        "tasks",
    )
    server, scope = SimpleNamespace(default_headers=[]), {"method": "POST"}
    protocol: Any = SimpleNamespace(scope=scope, flow=flow, server_state=server, **dict.fromkeys(rest))
    return WholeAnswers(protocol, keep_alive=True)


@pytest.mark.parametrize("size", [10, 11])
def test_a_body_that_is_too_large_is_not_handed_over_although_it_is_there(cycle: WholeAnswers, size: int) -> None:
    cycle.body, cycle.more_body = bytearray(size), False
    assert cycle.whole_body(10) == (bytes(size) if size <= 10 else None)


def test_an_answer_waits_while_the_client_does_not_read(cycle: WholeAnswers) -> None:
    assert not cycle.answer(200, (), b"hello")


@pytest.mark.parametrize("path", ["/fails", "/wrong"])
async def test_an_answer_that_fails_before_its_body_is_a_whole_500(client: Client, path: str) -> None:
    client.ask(path)
    said = await client.read()
    assert said.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"200" not in said


async def test_a_body_that_does_not_come_is_not_waited_for(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_answers, "BODY_SECONDS", 0.1)
    client.ask("/body", "POST", "Content-Length: 10\r\n")
    assert await client.exactly(HEAD + b"hello")


async def test_a_connection_that_nobody_uses_is_closed_in_time_however_much_was_asked_on_it(client: Client) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(3):
        client.ask("/")
        assert await client.exactly(HEAD + b"hello")
        await client.nothing_for(0.3)
    since = loop.time()
    assert await client.read() == b""
    assert 0.4 < loop.time() - since < 5


async def test_a_web_socket_on_a_connection_that_was_used_before_is_not_taken_for_idle(client: Client) -> None:
    client.ask("/")
    assert await client.exactly(HEAD + b"hello")
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    client.ask("/", more=f"Connection: Upgrade\r\nUpgrade: websocket\r\n{key}")
    assert (await client.read()).startswith(b"HTTP/1.1 101 ")
    await client.nothing_for(1.3)
    client.app.go.set()
    assert (await client.read()).endswith(b"here")
