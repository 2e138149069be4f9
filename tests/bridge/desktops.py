"""Desktop clients that start `callboard bridge`: the official one, and one that speaks in plain lines."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TextIO

from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.support.stack import META
from tests.support.waiting import PATIENCE

CALLBOARD = str(Path(sys.executable).with_name("callboard"))
INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"elicitation": {"form": {}}},
    "clientInfo": {"name": "plain", "version": "1"},
}


@asynccontextmanager
async def desktop(
    url: str, token: str, mode: str, *, errlog: TextIO = sys.stderr, **options: Any
) -> AsyncIterator[Client]:
    """The official client over stdio."""
    server = StdioServerParameters(command=CALLBOARD, args=["bridge", url], env={"CALLBOARD_TOKEN": token})
    async with Client(stdio_client(server, errlog), mode=mode, **options) as client:
        yield client


class Plain:
    """Sends lines and sorts what comes back. Whatever is on stdout must be JSON-RPC."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.answers: dict[Any, dict[str, Any]] = {}
        self.raw: dict[Any, bytes] = {}
        self.notifications: list[dict[str, Any]] = []
        self.questions: list[dict[str, Any]] = []
        self.faults: list[bytes] = []
        self.errors = b""
        self._news = asyncio.Condition()
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._read_errors())]

    def send(self, message: Any) -> None:
        line = message if isinstance(message, bytes) else json.dumps(message).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")

    def ask(self, id: Any, method: str, params: dict[str, Any] | None = None, *, modern: bool = True) -> None:
        body = {"_meta": META, **(params or {})} if modern else params or {}
        self.send({"jsonrpc": "2.0", "id": id, "method": method, "params": body})

    def tell(self, method: str, **params: Any) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    async def open(self) -> dict[str, Any]:
        """The handshake."""
        self.ask("init", "initialize", INITIALIZE, modern=False)
        answer = await self.answer("init")
        self.tell("notifications/initialized")
        return answer

    async def answer(self, id: Any, within: float = PATIENCE) -> dict[str, Any]:
        await self.until(lambda: id in self.answers, within)
        return self.answers[id]

    async def heard(self, method: str, count: int = 1, within: float = PATIENCE) -> None:
        await self.until(lambda: sum(n["method"] == method for n in self.notifications) >= count, within)

    async def until(self, true: Any, within: float = PATIENCE) -> None:
        try:
            async with asyncio.timeout(within), self._news:
                await self._news.wait_for(true)
        except TimeoutError:
            seen = (self.answers, self.notifications, self.questions, self.errors)
            raise AssertionError(f"not within {within} s; seen: {seen}") from None

    async def close(self) -> int:
        """End of its input; returns the exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = await asyncio.wait_for(self.process.wait(), PATIENCE)
        await asyncio.gather(*self._tasks)
        assert self.faults == []
        return code

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            async with self._news:
                self._sort(line)
                self._news.notify_all()

    def _sort(self, line: bytes) -> None:
        try:
            message = json.loads(line)
            assert message["jsonrpc"] == "2.0"
        except (ValueError, KeyError, TypeError, AssertionError):
            self.faults.append(line)
            return
        if "method" not in message:
            assert message["id"] not in self.answers, "answered twice"
            self.answers[message["id"]] = message
            self.raw[message["id"]] = line
        else:
            (self.questions if "id" in message else self.notifications).append(message)

    async def _read_errors(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            async with self._news:
                self.errors += line
                self._news.notify_all()


@asynccontextmanager
async def plain(url: str, token: str = "", *more: str, **environment: str) -> AsyncIterator[Plain]:
    """A client that speaks in plain lines; its end is checked."""
    process = await asyncio.create_subprocess_exec(
        CALLBOARD,
        "bridge",
        url,
        *more,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=128 << 20,
        env={"PATH": "/usr/bin:/bin", **environment, **({"CALLBOARD_TOKEN": token} if token else {})},
        cwd="/",
    )
    client = Plain(process)
    try:
        yield client
        if process.returncode is None:
            assert await client.close() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
