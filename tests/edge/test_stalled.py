"""A client that stops reading is cut, one that reads slowly is not: on a real uvicorn with a real socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from callboard_edge import stalled

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
async def served(app: App, **more: Any) -> AsyncIterator[int]:
    protocols = {"http": stalled.HttpProtocol, "ws": stalled.SocketProtocol, **more}
    config = uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1, **protocols)
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, 10)


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
            await asyncio.wait_for(app.over.wait(), 10)


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
        await asyncio.wait_for(app.over.wait(), 10)


@pytest.mark.parametrize("request_head", [PLAIN, UPGRADE], ids=["http", "websocket"])
async def test_uvicorn_by_itself_would_wait(monkeypatch: pytest.MonkeyPatch, request_head: str) -> None:
    monkeypatch.setattr(stalled, "STALLED_SECONDS", 0.1)
    app = App()
    async with served(app, http="httptools", ws="websockets-sansio") as port:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(request_head.encode())
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(app.over.wait(), 1)
