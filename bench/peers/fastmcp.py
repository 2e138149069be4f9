"""FastMCP's proxy: as its documentation begins, and with the one connected client that it also allows."""

from __future__ import annotations

import os
import shlex
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from bench.peers.launch import answering, free_port, launched
from bench.peers.peer import HANDSHAKE, STDIO, Endpoint, Package, Peer, Place, Start

_PACKAGE = Package("pypi", "fastmcp", "4.1.6", ("uvloop", "httptools"))
_SCRIPTS = Path(__file__).parent / "scripts"


def _proxy(settings: Mapping[str, str], workers: int = 1) -> Start:
    @asynccontextmanager
    async def start(place: Place, kinds: Sequence[str]) -> AsyncIterator[dict[str, Endpoint]]:
        port, (kind,) = free_port(), kinds
        target = shlex.join(place.upstream.command) if kind == STDIO else place.upstream.url
        words = [str(place.package / "venv" / "bin" / "uvicorn"), "--factory", "fastmcp_app:app"]
        words += ["--app-dir", str(_SCRIPTS), "--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
        quiet = {"FASTMCP_TELEMETRY_MODE": "off", "FASTMCP_CHECK_FOR_UPDATES": "off"}
        environment = {**quiet, **settings, "BENCH_KIND": kind, "BENCH_TARGET": target}
        words += ["--log-level", "error", "--no-access-log", "--timeout-worker-healthcheck", "60"]
        async with launched(words, place.folder, environment) as process:
            endpoint = Endpoint(f"http://127.0.0.1:{port}/mcp", process.pid)
            await answering(endpoint, HANDSHAKE, process, place.folder)
            yield {kind: endpoint}

    return start


_OTHERWISE = "JSON answers, uvloop, no telemetry"
_SHARED = f"one connected client for all requests (its documentation warns of mixed contexts); {_OTHERWISE}"
FASTMCP = (
    Peer(
        name="FastMCP proxy",
        about=f"create_proxy(target), the documented way: a client of its own for every request; {_OTHERWISE}",
        start=_proxy({}),
        package=_PACKAGE,
        full=True,
    ),
    Peer(
        name="FastMCP proxy, shared client",
        about=_SHARED,
        start=_proxy({"BENCH_SHARED": "1"}),
        package=_PACKAGE,
        full=True,
    ),
    Peer(
        name="FastMCP proxy, shared, workers",
        about=f"{_SHARED}; a worker per core, without sessions, which its documentation asks for then",
        start=_proxy({"BENCH_SHARED": "1", "BENCH_STATELESS": "1"}, os.cpu_count() or 1),
        package=_PACKAGE,
        full=True,
        lacks={"stdio": "several workers would be several children; see the line with one process"},
    ),
)
