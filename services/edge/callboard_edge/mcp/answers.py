"""HTTP answers of the MCP endpoint as ASGI messages, and the one table from error codes to statuses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import msgspec

from callboard.contracts.problems import Problem
from callboard_edge.whole_answers import cycle_of

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
_JSON_ALONE = (JSON,)
CHALLENGE = b"www-authenticate"
SSE: Headers = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]
PING = b": ping\n\n"

# MCP 2026-07-28, basic/transports: the status of an error answer in the stateless era. Everything else is 200.
MODERN_STATUS = {-32700: 400, -32600: 400, -32602: 400, -32020: 400, -32021: 400, -32022: 400, -32601: 404}
# Refusals of the transport itself, in both eras. What a server did or did not do is told with 200.
PROBLEM_STATUS = {
    "auth.required": 401,
    "auth.invalid": 401,
    "auth.malformed": 400,
    "auth.forbidden": 403,
    "auth.scope_insufficient": 403,
    "header.mismatch": 400,
    "limit.exceeded": 429,
    "limit.uncounted": 503,
    "payload.too_large": 413,
    "playbook.unknown": 404,
    "playbook.version_unknown": 404,
    "quota.exceeded": 429,
    "session.busy": 429,
    "session.unknown": 404,
}

_encode = msgspec.json.Encoder().encode


async def send_json(send: Send, status: int, body: bytes, headers: Headers | None = None) -> None:
    """One whole answer."""
    cycle = cycle_of(send)
    if cycle is not None and cycle.answer(status, (JSON, *headers) if headers else _JSON_ALONE, body):
        return
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [JSON, length, *(headers or [])]})
    await send({"type": "http.response.body", "body": body})


async def send_empty(send: Send, status: int, headers: Headers | None = None) -> None:
    """An answer without a body."""
    length = (b"content-length", b"0")
    await send({"type": "http.response.start", "status": status, "headers": [length, *(headers or [])]})
    await send({"type": "http.response.body", "body": b""})


async def start_sse(send: Send, headers: Headers | None = None) -> None:
    """The head of an event stream."""
    await send({"type": "http.response.start", "status": 200, "headers": [*SSE, *(headers or [])]})


async def send_event(send: Send, data: bytes, *, id: bytes = b"", last: bool = False) -> None:
    """One message as a server-sent event, with an id where the stream can be resumed.

    A line break between its tokens begins another `data` line.
    """
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(data.splitlines())
    head = b"id: " + id + b"\nevent: message\ndata: " if id else b"event: message\ndata: "
    await send({"type": "http.response.body", "body": head + data + b"\n\n", "more_body": not last})


async def send_mark(send: Send, id: bytes, retry: bytes, *, last: bool = False) -> None:
    """An event without data: where a client goes on from, and after how many milliseconds (MCP 2025-11-25)."""
    body = b"id: " + id + b"\nretry: " + retry + b"\ndata: \n\n"
    await send({"type": "http.response.body", "body": body, "more_body": not last})


async def send_ping(send: Send) -> None:
    """A comment, so that nobody on the way takes the stream for dead."""
    await send({"type": "http.response.body", "body": PING, "more_body": True})


async def send_end(send: Send) -> None:
    """The end of a stream."""
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def result_message(id: bytes, result: bytes) -> bytes:
    """A JSON-RPC response around the upstream's bytes."""
    return b'{"jsonrpc":"2.0","id":' + id + b',"result":' + result + b"}"


def error_message(id: bytes, error: bytes) -> bytes:
    """A JSON-RPC error response around a raw error object."""
    return b'{"jsonrpc":"2.0","id":' + id + b',"error":' + error + b"}"


def error_object(code: int, message: str, data: Any = None) -> bytes:
    """A raw JSON-RPC error object."""
    members: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        members["data"] = data
    return _encode(members)


def problem_object(problem: Problem, call_id: str = "") -> bytes:
    """The JSON-RPC error object of a problem of ours: its code, what to do, and no inner detail."""
    data: dict[str, Any] = {"code": problem.code, "hint": problem.hint, **problem.data}
    if call_id:
        data["call_id"] = call_id
    return error_object(problem.rpc_code, problem.message, data)


_CHALLENGES = {
    "auth.required": b'Bearer realm="callboard"',
    "auth.invalid": b'Bearer realm="callboard", error="invalid_token"',
    "auth.scope_insufficient": b'Bearer realm="callboard", error="insufficient_scope"',
}


def challenge(code: str, scope: str = "") -> Headers | None:
    """`WWW-Authenticate` (RFC 6750 section 3) by the code of the problem; `challenges.py` adds the URL that was asked.

    `scope`: all scopes that the operation needs, where more is asked than for ordinary use.
    """
    begun = _CHALLENGES.get(code)
    if begun is None:
        return None
    return [(CHALLENGE, begun + (f', scope="{scope}"'.encode() if scope else b""))]


def headers_of(code: str, data: Mapping[str, Any]) -> Headers | None:
    """What goes with a problem: how to authenticate, or when to come again (RFC 9110 section 10.2.3)."""
    if code in _CHALLENGES:
        return challenge(code, data.get("scope", ""))
    seconds = data.get("retry_after")
    return [(b"retry-after", str(seconds).encode())] if isinstance(seconds, int) else None


async def send_problem(send: Send, id: bytes, problem: Problem, *, modern: bool) -> None:
    """A problem of ours as the whole answer."""
    status = PROBLEM_STATUS.get(problem.code)
    if status is None:
        status = MODERN_STATUS.get(problem.rpc_code, 200) if modern else 200
    await send_json(send, status, error_message(id, problem_object(problem)), headers_of(problem.code, problem.data))


async def refuse(send: Send, problem: Problem) -> None:
    """A problem instead of a stream or a connection: always an error by its status."""
    message = error_message(b"null", problem_object(problem))
    await send_json(send, problem.http_status, message, headers_of(problem.code, problem.data))


def upgrade_refusal(send: Send) -> Send:
    """For an HTTP answer in place of a WebSocket (ASGI extension `websocket.http.response`)."""

    async def translated(event: MutableMapping[str, Any]) -> None:
        await send({**event, "type": "websocket." + event["type"]})

    return translated


async def send_refusal(send: Send, code: int, message: str, id: bytes = b"null", data: Any = None) -> None:
    """A message that could not be taken: 404 for an unknown method, else 400."""
    await send_json(send, MODERN_STATUS.get(code, 400), error_message(id, error_object(code, message, data)))
