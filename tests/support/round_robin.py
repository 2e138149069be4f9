"""One loopback address in front of several: each request goes to the next of them, and no byte is changed."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

_CHUNK = 65_536


class RoundRobin:
    """A load balancer without sticky sessions, for HTTP/1.1 without pipelining.

    Clients keep their connections, so a turn per connection would send nearly everything to one server. A request
    begins where a client sends again after it was answered; no more of HTTP has to be understood to take turns.
    `requests` counts them per port.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self._turns = itertools.cycle(ports)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.requests: Counter[int] = Counter()

    @property
    def port(self) -> int:
        assert self._server is not None, "not started"
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> RoundRobin:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None, "not started"
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def answered(self, data: bytes) -> bytes:
        """What becomes of bytes on their way back; a broken relay, for a test, changes them here."""
        return data

    def _accepted(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(client, back))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        exchange: _Exchange | None = None
        try:
            with contextlib.suppress(ConnectionError):
                while data := await client.read(_CHUNK):
                    if exchange is None or exchange.answering:
                        await _ended(exchange)
                        exchange = await self._next(back)
                    exchange.server.write(data)
                    await exchange.server.drain()
        finally:
            back.close()
            await _ended(exchange)

    async def _next(self, back: asyncio.StreamWriter) -> _Exchange:
        port = next(self._turns)
        self.requests[port] += 1
        return _Exchange(self, *await asyncio.open_connection("127.0.0.1", port), back)


class _Exchange:
    """One request with its answer."""

    def __init__(
        self, relay: RoundRobin, answer: asyncio.StreamReader, server: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        self.server = server
        self.answering = False
        self.task = asyncio.create_task(self._pass_back(relay, answer, back))

    async def _pass_back(self, relay: RoundRobin, answer: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await answer.read(_CHUNK):
                self.answering = True
                back.write(relay.answered(data))
                await back.drain()
        back.close()


async def _ended(exchange: _Exchange | None) -> None:
    if exchange is not None:
        exchange.task.cancel()
        exchange.server.close()
        await asyncio.gather(exchange.task, return_exceptions=True)
