"""A FastMCP proxy for uvicorn: `uvicorn --factory fastmcp_app:app`, run by the Python of its own environment.

BENCH_KIND is http or stdio, BENCH_TARGET a URL or a command line, BENCH_SHARED and BENCH_STATELESS are 1 or nothing.
"""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastmcp import Client  # type: ignore[import-not-found]
from fastmcp.client.transports import StdioTransport  # type: ignore[import-not-found]
from fastmcp.server import create_proxy  # type: ignore[import-not-found]
from fastmcp.server.providers.proxy import FastMCPProxy  # type: ignore[import-not-found]


def app() -> Any:
    """The ASGI application; with a shared client it is connected while the application runs."""
    logging.disable(logging.WARNING)
    target = os.environ["BENCH_TARGET"]
    command, *arguments = shlex.split(target)
    upstream = StdioTransport(command=command, args=arguments) if os.environ["BENCH_KIND"] == "stdio" else target
    proxy = _shared(Client(upstream)) if os.environ.get("BENCH_SHARED") else create_proxy(upstream)
    return proxy.http_app(json_response=True, stateless_http=bool(os.environ.get("BENCH_STATELESS")))


def _shared(client: Any) -> Any:
    @asynccontextmanager
    async def connected(_: Any) -> AsyncIterator[dict[str, Any]]:
        async with client:
            yield {}

    return FastMCPProxy(client_factory=lambda: client, name="bench", lifespan=connected)
