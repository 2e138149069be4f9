"""A receiver of webhooks: a real HTTP server that keeps what came and answers what it is told to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import msgspec

from callboard.contracts.webhooks import WebhookMessage


@dataclass(frozen=True)
class Came:
    """One request. Header names are lower case."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def message(self) -> WebhookMessage:
        return msgspec.json.decode(self.body, type=WebhookMessage)


@dataclass
class Receiver:
    """`answers` are given in turn, then 204. An answer is a status, with headers behind it, or 0: none ever."""

    url: str
    came: list[Came] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    seen: Callable[[Came], None] = lambda came: None

    @property
    def kinds(self) -> list[str]:
        return [came.message.type for came in self.came]

    def last(self, kind: str) -> Came:
        """The newest of one kind: what an event causes comes in between."""
        return next(came for came in reversed(self.came) if came.message.type == kind)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[1:-2]
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            came = Came(headers, await reader.readexactly(int(headers.get("content-length", "0"))))
            self.came.append(came)
            self.seen(came)
            answer = self.answers.pop(0) if self.answers else "204 No Content"
            if answer == "0":
                await reader.read()  # until the sender has had enough
            else:
                writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[Receiver]:
    """On a free port of this machine, or on one that was free before."""
    receiver = Receiver("")
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", port)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver
    finally:
        server.close()
