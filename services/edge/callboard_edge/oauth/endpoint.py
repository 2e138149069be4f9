"""One endpoint of the authorization server: its methods, the size of bodies, CORS, and errors that are always JSON.

Clients read errors as JSON and give up at anything else, so no refusal here is text or a page; but for the page of
`authorize.py`, which only a browser gets.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
import structlog
from litestar import asgi
from litestar.handlers import ASGIRouteHandler
from starlette.requests import Request
from starlette.responses import Response

from callboard.contracts.problems import Problem
from callboard_edge.mcp.answers import Receive, Scope, Send

log = structlog.get_logger()
Handle = Callable[[Request], Awaitable[Response]]
BODY: Final = 32 * 1024
_NOT_STORED: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
ANY_ORIGIN: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "WWW-Authenticate, Retry-After",
}
"""Pages of any origin may read the answer."""
_PREFLIGHT: Final = {
    **ANY_ORIGIN,
    "Access-Control-Allow-Headers": "authorization, content-type, mcp-protocol-version",
    "Access-Control-Max-Age": "86400",
}


def answer(document: Any, status: int = 200, **headers: str) -> Response:
    """A JSON document that nobody keeps."""
    return Response(msgspec.json.encode(document), status, {**_NOT_STORED, **headers}, media_type="application/json")


def refusal(error: str, description: str, status: int = 400, **headers: str) -> Response:
    """An error in the form of RFC 6749 section 5.2."""
    return answer({"error": error, "error_description": description}, status, **headers)


def refusal_of(problem: Problem, *, basic: bool = False) -> Response:
    """The same for what authsvc refused, or for a part of Callboard that is away. `basic`: the client used the header.

    A client that is unknown gets 401: some register again at nothing else.
    """
    if problem.code == "oauth.refused":
        error = str(problem.data.get("error", "invalid_request"))
        if error != "invalid_client":
            return refusal(error, problem.message)
        headers = {"WWW-Authenticate": 'Basic realm="callboard"'} if basic else {}
        return refusal(error, problem.message, 401, **headers)
    if problem.code == "oauth.too_many":
        wait = str(problem.data.get("retry_after", 60))
        return refusal("temporarily_unavailable", problem.message, 429, **{"Retry-After": wait})
    if problem.http_status >= 500:
        error = "temporarily_unavailable" if problem.http_status == 503 else "server_error"
        return refusal(error, problem.hint, problem.http_status)
    return refusal("invalid_request", problem.message, problem.http_status)


def preflight(methods: Sequence[str]) -> dict[str, str]:
    """The headers with which a browser is told that pages of any origin may use these methods."""
    return {**_PREFLIGHT, "Access-Control-Allow-Methods": ", ".join(methods)}


def endpoint(
    paths: Sequence[str], handle: Handle, methods: Sequence[str], *, shared: bool, limit: int = BODY
) -> ASGIRouteHandler:
    """The route. `shared`: pages of any origin may use it, without what a browser knows of the person."""
    extra = ANY_ORIGIN if shared else {}

    async def answered(scope: Scope, receive: Receive) -> Response:
        method = str(scope["method"])
        if method == "OPTIONS" and shared:
            return Response(None, 204, preflight(methods))
        if method not in methods:
            return refusal("invalid_request", f"use {' or '.join(methods)}", 405, Allow=", ".join(methods))
        body = await _body(receive, limit)
        if body is None:
            return refusal("invalid_request", f"the body has more than {limit} bytes", 413)
        return await _handled(handle, Request(scope, _again(body)))

    @asgi(list(paths), copy_scope=True)
    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        response = await answered(scope, receive)
        response.headers.update(extra)
        await response(scope, receive, send)

    return route


async def _handled(handle: Handle, request: Request) -> Response:
    try:
        return await handle(request)
    except Problem as problem:
        return refusal_of(problem, basic="authorization" in request.headers)
    except RecursionError:
        return refusal("invalid_request", "the body is nested too deeply")
    except Exception as error:
        log.error("oauth_failed", path=request.url.path, exc_info=error)
        return refusal("server_error", "something went wrong inside Callboard", 500)


async def _body(receive: Receive, limit: int) -> bytes | None:
    """The whole body; None when it is too long, or the client went away."""
    pieces, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit:
            return None
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


def _again(body: bytes) -> Receive:
    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
