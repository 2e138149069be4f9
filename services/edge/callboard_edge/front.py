"""The way in: MCP goes straight to its endpoint, everything else (management API, pages, health) to Litestar.

A mount inside Litestar would cost each call a router, two middlewares and their wrappers, none of which MCP needs.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from callboard_edge.mcp.answers import Receive, Scope, Send

App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Front:
    """The ASGI application of the edge."""

    def __init__(self, mcp: App, management: App) -> None:
        self._mcp = mcp
        # Who a person is, to limits on signing in, may be said by a proxy on this machine.
        trusted = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")
        self._management: App = ProxyHeadersMiddleware(management, trusted)  # type: ignore[arg-type, assignment]  # ASGI

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """One request or WebSocket; `path` is what the endpoint gets of it: without `/p`, or `/mcp`."""
        path: str = scope["path"]
        if path.startswith("/p/"):
            scope["path"] = path[2:]
        elif path in ("/mcp", "/mcp/"):
            scope["path"] = "/mcp"
        else:
            return self._management(scope, receive, send)
        return self._mcp(scope, receive, send)
