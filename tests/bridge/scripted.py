"""An HTTP server that answers as its script says and remembers what it was sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Seen:
    """One request. `write` sends bytes, `json` a whole answer."""

    method: str
    headers: dict[str, str]
    body: bytes
    writer: asyncio.StreamWriter

    @property
    def message(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def rpc(self) -> str:
        """Its JSON-RPC method; empty for what has none."""
        return str(self.message.get("method", "")) if self.body else ""

    def head(self, status: int, *headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Scripted", *headers, "", ""]
        self.writer.write("\r\n".join(lines).encode())

    def raw(self, status: int, body: bytes, *headers: str) -> None:
        self.head(status, f"Content-Length: {len(body)}", *headers)
        self.writer.write(body)

    def json(self, status: int, *headers: str, **members: Any) -> None:
        answer = {"jsonrpc": "2.0", "id": self.message.get("id"), **members}
        self.raw(status, json.dumps(answer).encode(), "Content-Type: application/json", *headers)

    def stream(self, *headers: str) -> None:
        self.head(200, "Content-Type: text/event-stream", "Connection: close", *headers)

    def event(self, message: Any, id: str = "") -> None:
        data = f"data: {json.dumps(message)}\n\n" if message else "data:\n\n"
        self.writer.write((f"id: {id}\n" if id else "").encode() + data.encode())

    def break_off(self) -> None:
        self.writer.transport.abort()


Script = Callable[[Seen], Awaitable[None]]


@dataclass
class Scripted:
    url: str = ""
    seen: list[Seen] = field(default_factory=list)

    def of(self, rpc: str) -> list[Seen]:
        return [one for one in self.seen if one.rpc == rpc]

    def gets(self) -> list[Seen]:
        return [one for one in self.seen if one.method == "GET"]


@asynccontextmanager
async def scripted(script: Script, port: int = 0) -> AsyncIterator[Scripted]:
    """A running server."""
    found = Scripted()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                one = await _request(reader, writer)
                found.seen.append(one)
                await script(one)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, limit=1 << 27)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    try:
        yield found
    finally:
        server.close()


async def _request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(first.split()[0], headers, body, writer)
