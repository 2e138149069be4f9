"""Spans of the management API: one per sampled request, under which its commands and questions are traced.

Above: `app.py`, which puts it in front of Litestar only where there is a collector.
"""

from __future__ import annotations

import time
from typing import Any

from callboard.platform.span_names import HTTP_METHOD, HTTP_ROUTE, HTTP_STATUS, ORGANISATION
from callboard.platform.telemetry import child_traceparent, is_traceparent
from callboard.platform.traces import Span, Traces, follow, is_sampled
from callboard_edge.front import App
from callboard_edge.mcp.answers import Receive, Scope, Send

_API = "/api/v1/"


class TracedApi:
    """An ASGI application around another; what is not the API passes through."""

    def __init__(self, app: App, traces: Traces) -> None:
        self._app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        parent = self._parent_of(scope)
        if not is_sampled(parent):
            await self._app(scope, receive, send)
            return
        own, began, status = child_traceparent(parent), time.time_ns(), 500
        follow(own)

        async def watched(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route = scope.get("path_template") or _API
            name = f"{scope['method']} {route}"
            fault = str(status) if status >= 500 else ""
            told = _attributes(scope, str(route), status)
            self._traces.note(Span(own, parent, name, "server", began, time.time_ns(), told, fault))

    def _parent_of(self, scope: Scope) -> str:
        if scope["type"] != "http" or not scope["path"].startswith(_API):
            return ""
        theirs = next((value for name, value in scope["headers"] if name == b"traceparent"), b"").decode("latin-1")
        return theirs if is_traceparent(theirs) else self._traces.begin()


def _attributes(scope: Scope, route: str, status: int) -> dict[str, str | int]:
    """The route and not the path, which may have names of persons in it."""
    told: dict[str, str | int] = {HTTP_METHOD: scope["method"], HTTP_ROUTE: route, HTTP_STATUS: status}
    organisation = (scope.get("path_params") or {}).get("organisation")
    return told | ({ORGANISATION: str(organisation)} if organisation else {})
