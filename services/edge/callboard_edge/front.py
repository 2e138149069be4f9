"""The way in: MCP goes straight to its endpoint, everything else (management API, pages, health) to Litestar.

A mount inside Litestar would cost each call a router, two middlewares and their wrappers, none of which MCP needs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from callboard_edge.mcp.answers import Receive, Scope, Send

App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Front:
    """The ASGI application of the edge."""

    def __init__(self, mcp: App, management: App) -> None:
        self._mcp = mcp
        self._management = management

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
