"""Where a client on this machine waits for a browser to come back: a redirect URI on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

_SECONDS = 30.0


class Loopback:
    """One redirect URI."""

    def __init__(self, port: int) -> None:
        self.redirect_uri = f"http://127.0.0.1:{port}/callback"
        self._answers: asyncio.Queue[dict[str, str]] = asyncio.Queue()

    async def answer(self) -> dict[str, str]:
        """The parameters that a browser brought."""
        return await asyncio.wait_for(self._answers.get(), _SECONDS)

    @property
    def heard(self) -> bool:
        """Whether an answer waits."""
        return not self._answers.empty()

    def take(self, url: str) -> None:
        """An answer in a URL that the browser was sent to."""
        self._answers.put_nowait({name: values[0] for name, values in parse_qs(urlsplit(url).query).items()})

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request of a browser."""
        head = await reader.readuntil(b"\r\n\r\n")
        target = head.split(b" ", 2)[1].decode()
        if target.startswith("/callback"):
            self.take(target)
        body = b"<!doctype html><title>Back</title><h1>Back in the client</h1>"
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        writer.write(body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def loopback() -> AsyncIterator[Loopback]:
    """Listen on a free port."""
    waiting: list[Loopback] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await waiting[0].serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    waiting.append(Loopback(server.sockets[0].getsockname()[1]))
    async with server:
        yield waiting[0]
