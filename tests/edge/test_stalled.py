"""A client that stops reading, or sends a head without an end, is cut: on a real uvicorn with a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from callboard_edge import stalled
from tests.support.waiting import PATIENCE, promised

PIECE = b"x" * 65_536


class App:
    """Answers without an end; `over` is set when the connection is lost."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        watcher = asyncio.create_task(self._watch(receive))
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
        else:
            await send({"type": "websocket.accept"})
        while not self.over.is_set():
            if scope["type"] == "http":
                await send({"type": "http.response.body", "body": PIECE, "more_body": True})
            else:
                try:
                    await send({"type": "websocket.send", "bytes": PIECE})
                except OSError:
                    break
            await asyncio.sleep(0)
        await watcher

    async def _watch(self, receive: Any) -> None:
        while not (await receive())["type"].endswith("disconnect"):
            pass
        self.over.set()


@asynccontextmanager
async def served(app: Any, **more: Any) -> AsyncIterator[int]:
    protocols = {"http": stalled.HttpProtocol, "ws": stalled.SocketProtocol, **more}
    config = uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1, **protocols)
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, PATIENCE)


UPGRADE = (
    "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PLAIN = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("request_head", [PLAIN, UPGRADE], ids=["http", "websocket"])
async def test_a_client_that_stops_reading_is_cut(monkeypatch: pytest.MonkeyPatch, request_head: str) -> None:
    monkeypatch.setattr(stalled, "STALLED_SECONDS", 0.3)
    app = App()
    async with served(app) as port:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(request_head.encode())
            await asyncio.wait_for(app.over.wait(), PATIENCE)


@pytest.mark.parametrize("request_head", [PLAIN, UPGRADE], ids=["http", "websocket"])
async def test_a_client_that_reads_slowly_is_not(monkeypatch: pytest.MonkeyPatch, request_head: str) -> None:
    monkeypatch.setattr(stalled, "STALLED_SECONDS", 0.3)
    app = App()
    async with served(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=65_536)
        writer.write(request_head.encode())
        for _ in range(15):
            await asyncio.wait({asyncio.ensure_future(app.over.wait())}, timeout=0.1)
            for _ in range(16):
                assert await reader.read(65_536)
        assert not app.over.is_set()
        writer.close()
        await asyncio.wait_for(app.over.wait(), PATIENCE)


@pytest.mark.parametrize("request_head", [PLAIN, UPGRADE], ids=["http", "websocket"])
async def test_uvicorn_by_itself_would_wait(monkeypatch: pytest.MonkeyPatch, request_head: str) -> None:
    monkeypatch.setattr(stalled, "STALLED_SECONDS", 0.1)
    app = App()
    async with served(app, http="httptools", ws="websockets-sansio") as port:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(request_head.encode())
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(app.over.wait(), 1)


ENDLESS = {
    "nothing": b"",
    "half a head": b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ",
    "half a second head": b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT",
}


async def brief(scope: Any, receive: Any, send: Any) -> None:
    """Answers at once."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def ends(port: int, said: bytes, within: float) -> bytes:
    """What a server answers until it ends the connection; TimeoutError when it does not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(said)
        heard = b""
        async with asyncio.timeout(within):
            while piece := await reader.read(65_536):
                heard += piece
    except ConnectionResetError:
        return heard
    finally:
        writer.close()
    return heard


@pytest.mark.parametrize("said", ENDLESS.values(), ids=ENDLESS)
async def test_a_head_that_does_not_come_to_its_end_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(stalled, "HEAD_SECONDS", 0.2)
    async with served(brief) as port:
        await ends(port, said, 5)


async def test_a_head_is_bounded_in_bytes_and_lines() -> None:
    async with served(brief) as port:
        many = b"".join(b"X-%d: y\r\n" % number for number in range(stalled.MAX_HEADERS + 1))
        assert b" 400 " in await ends(port, b"GET / HTTP/1.1\r\n" + many + b"\r\n", 5)
        assert b" 204 " not in await ends(port, b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 300_000, 5)


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
LAST = CHUNKED + b"0\r\n"
TRAILERS = {
    "lines": b"".join(b"X-%d: y\r\n" % number for number in range(stalled.MAX_HEADERS + 2)),
    "one line": b"X-Long: " + b"x" * stalled.MAX_HEAD_BYTES,
    "lines to their end": b"X: y\r\n" * (stalled.MAX_HEADERS + 1) + b"\r\n",
}


class Reads:
    """Reads the body, and answers then; `began` is set when it has a part of it."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.headers: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            self.began.set()
            more = message.get("more_body", False)
        self.headers.append(scope["headers"])
        await brief(scope, receive, send)


@pytest.mark.parametrize("trailers", TRAILERS.values(), ids=TRAILERS)
async def test_trailers_are_bounded_in_bytes_and_lines(trailers: bytes) -> None:
    app = Reads()
    async with served(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(LAST)
        await promised(app.began.is_set, within=5)  # the server has this piece
        writer.write(trailers)
        with contextlib.suppress(ConnectionResetError):
            heard = await asyncio.wait_for(reader.read(), 5)
            assert b" 204 " not in heard
        writer.close()


async def test_a_few_trailers_are_taken_and_shown_to_nobody_however_they_come() -> None:
    app = Reads()
    async with served(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = b"%x\r\n%s\r\n" % (200_000, b"x" * 200_000)
        for piece in (
            LAST,
            b"Authorization: a\r\n",
            b"\r\n" + LAST + b"X-A: b\r\n\r\n" + CHUNKED + body + b"0\r\n",
            b"\r\n",
        ):
            writer.write(piece)
            await writer.drain()
            await promised(app.began.is_set, within=5)
        for _ in range(3):
            assert b" 204 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        writer.close()
    assert [[name for name, _ in headers] for headers in app.headers] == [[b"host", b"transfer-encoding"]] * 3


async def test_a_body_that_goes_on_behind_its_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalled, "REST_SECONDS", 0.2)
    async with served(brief) as port:
        assert b" 204 " in await ends(port, CHUNKED, 3)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(CHUNKED)  # one that is whole after all stays for the next request, and its answer
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"0\r\n\r\n" + PLAIN.encode())
        assert b" 204 " in await reader.readuntil(b"\r\n\r\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.5)
        writer.close()


async def test_a_head_in_pieces_and_a_socket_that_stays_open_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalled, "HEAD_SECONDS", 0.3)
    async with served(brief) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            for piece in (b"GET / HTTP/1.1\r\n", b"Host: x\r\n", b"\r\n"):
                writer.write(piece)
                await writer.drain()
            assert b" 204 " in await reader.readuntil(b"\r\n\r\n")
        writer.close()
    app = App()
    async with served(app) as port:  # a web socket is no head that goes on
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=65_536)
        writer.write(UPGRADE.encode())
        for _ in range(6):
            await asyncio.wait({asyncio.ensure_future(app.over.wait())}, timeout=0.1)
            assert await reader.read(65_536)
        writer.close()
        await asyncio.wait_for(app.over.wait(), PATIENCE)


async def test_uvicorn_by_itself_waits_for_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalled, "HEAD_SECONDS", 0.2)
    async with served(brief, http="httptools", ws="websockets-sansio") as port:
        with pytest.raises(TimeoutError):
            await ends(port, ENDLESS["half a head"], 0.6)
        many = b"".join(b"X-%d: y\r\n" % number for number in range(stalled.MAX_HEADERS + 1))
        with pytest.raises(TimeoutError):
            await ends(port, b"GET / HTTP/1.1\r\nHost: x\r\n" + many + b"\r\n", 0.6)
