"""The cheap echo upstream that everything is measured over."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from bench.peers.launch import free_port, launched, wrong
from bench.peers.peer import MODERN, Endpoint, Upstream
from tests.support.upstreams.launch import command
from tests.support.waiting import eventually


@contextlib.asynccontextmanager
async def echo_upstream(folder: Path, *options: str) -> AsyncIterator[Upstream]:
    """The cheap echo server on a free port."""
    port = free_port()
    (folder / "upstream").mkdir()
    words = command("echo", *options, "--port", str(port))
    async with launched(words, folder / "upstream") as process:
        endpoint = Endpoint(f"http://127.0.0.1:{port}/mcp", process.pid)

        async def answers() -> bool:
            return await wrong(endpoint, MODERN) is None

        await eventually(answers, within=20)
        yield Upstream(endpoint.url, tuple(command("echo", "--stdio")), process.pid)
