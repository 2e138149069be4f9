"""Bridges from stdio to HTTP: one upstream behind an endpoint, no tokens, no policy. Not gateways, but a floor."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bench.peers.launch import answering, free_port, launched
from bench.peers.peer import HANDSHAKE, STDIO, Endpoint, Package, Peer, Place
from tests.support.node_tools import node

_ONLY_STDIO = "it bridges a stdio server to HTTP; it does not pass HTTP on to HTTP"
_OLD_ERA = "it speaks the handshake era only"
_CHILD_PER_REQUEST = (
    "it starts a child for every request there: 14 calls/s when tried at 16 in flight; 256 are too many"
)


@asynccontextmanager
async def _bridge(place: Place, words: list[str], port: int) -> AsyncIterator[dict[str, Endpoint]]:
    async with launched(words, place.folder) as process:
        endpoint = Endpoint(f"http://127.0.0.1:{port}/mcp", process.pid)
        await answering(endpoint, HANDSHAKE, process, place.folder)
        yield {STDIO: endpoint}


@asynccontextmanager
async def _python(place: Place, kinds: Sequence[str]) -> AsyncIterator[dict[str, Endpoint]]:
    port = free_port()
    program = str(place.package / "venv" / "bin" / "mcp-proxy")
    words = [program, "--host", "127.0.0.1", "--port", str(port), "--log-level", "ERROR", "--", *place.upstream.command]
    async with _bridge(place, words, port) as endpoints:
        yield endpoints


@asynccontextmanager
async def _npm(place: Place, kinds: Sequence[str]) -> AsyncIterator[dict[str, Endpoint]]:
    port = free_port()
    script = str(place.package / "node_modules" / "mcp-proxy" / "dist" / "bin" / "mcp-proxy.mjs")
    options = ["--server", "stream", "--host", "127.0.0.1", "--port", str(port), "--upstreamProtocol", "auto"]
    words = [node(), script, *options, "--no-eventStore", "--", *place.upstream.command]
    async with _bridge(place, words, port) as endpoints:
        yield endpoints


@asynccontextmanager
async def _super(place: Place, kinds: Sequence[str]) -> AsyncIterator[dict[str, Endpoint]]:
    port = free_port()
    script = str(place.package / "node_modules" / "supergateway" / "dist" / "index.js")
    options = ["--outputTransport", "streamableHttp", "--stateful", "--logLevel", "none", "--port", str(port)]
    words = [node(), script, "--stdio", shlex.join(place.upstream.command), *options]
    async with _bridge(place, words, port) as endpoints:
        yield endpoints


BRIDGES = (
    Peer(
        name="mcp-proxy (PyPI)",
        about="stateful sessions (its default), logs only errors",
        start=_python,
        package=Package("pypi", "mcp-proxy", "0.13.0", ("uvloop", "httptools")),
        lacks={"http": _ONLY_STDIO, "2026": _OLD_ERA},
    ),
    Peer(
        name="mcp-proxy (npm)",
        about="stateful stream endpoint, upstream in the newest era it speaks, no event store",
        start=_npm,
        package=Package("npm", "mcp-proxy", "6.7.19"),
        lacks={"http": _ONLY_STDIO},
    ),
    Peer(
        name="supergateway (npm)",
        about="stateful: a child per session instead of one per request; no log",
        start=_super,
        package=Package("npm", "supergateway", "4.0.0"),
        lacks={"http": _ONLY_STDIO, "2026": _CHILD_PER_REQUEST},
    ),
)
