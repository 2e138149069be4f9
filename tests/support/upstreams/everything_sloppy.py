"""The stateless era of the everything server as a loose implementation speaks it, over HTTP only.

It does all of what the official example server was seen to do, and does it everywhere: no `resultType` on complete
results, ids and tokens that were numbers come back as texts, messages as lines of `application/json` where a stream of
events belongs, `server/discover` without most of its capabilities, no check of the standard and custom headers.
"""

from __future__ import annotations

import json
from typing import Any

from mcp.shared.inbound import encode_header_value
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
_NAMED_BY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_DECLARED = ("tools", "prompts", "resources")


class Sloppy:
    """Lets handshake traffic through untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        version = dict(scope.get("headers", ())).get(b"mcp-protocol-version", b"").decode("latin-1")
        handshake = not version or version in HANDSHAKE_PROTOCOL_VERSIONS
        if scope["type"] != "http" or scope["method"] != "POST" or handshake:
            await self.app(scope, receive, send)
            return
        body = await _body(receive)
        request = _object(body)
        again = _Again(body, receive)
        await self.app({**scope, "headers": _agreeing(scope["headers"], request)}, again, _Loosened(request, send))


class _Again:
    """The body once more for the server, then what the connection says."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self.first: Message | None = {"type": "http.request", "body": body, "more_body": False}
        self.receive = receive

    async def __call__(self) -> Message:
        first, self.first = self.first, None
        return first if first is not None else await self.receive()


class _Loosened:
    """The answer, message by message."""

    def __init__(self, request: dict[str, Any], send: Send) -> None:
        self.request = request
        self.send = send
        self.streams = False
        self.start: Message = {}
        self.held = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            kinds = [value for name, value in message["headers"] if name == b"content-type"]
            self.streams = bool(kinds) and kinds[0].startswith(b"text/event-stream")
            kept = [pair for pair in message["headers"] if pair[0] not in (b"content-type", b"content-length")]
            self.start = {**message, "headers": [*kept, (b"content-type", b"application/json")]}
            if self.streams:
                await self.send(self.start)
            return
        self.held += message.get("body", b"")
        more = message.get("more_body", False)
        if self.streams:
            await self.send({**message, "body": self._lines()})
        elif not more:
            body = _dumped(loosened(self.request, _object(self.held))) if self.held else b""
            self.start["headers"].append((b"content-length", b"%d" % len(body)))
            await self.send(self.start)
            await self.send({**message, "body": body})

    def _lines(self) -> bytes:
        *events, self.held = self.held.replace(b"\r\n", b"\n").split(b"\n\n")
        lines = [line[5:] for event in events for line in event.split(b"\n") if line.startswith(b"data:")]
        return b"".join(_dumped(loosened(self.request, _object(line))) + b"\n" for line in lines if line.strip())


def loosened(request: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
    """A message of the server, as carelessly as it can be said."""
    message = {**message}
    if isinstance(message.get("id"), int):
        message["id"] = str(message["id"])
    if isinstance(result := message.get("result"), dict):
        message["result"] = _result(request, result)
    if isinstance(params := message.get("params"), dict):
        message["params"] = _texts(params)
    return message


def _result(request: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    if result.get("resultType") == "complete":
        result = {name: value for name, value in result.items() if name != "resultType"}
    if request.get("method") == "server/discover":
        result = {**result, "capabilities": {name: {} for name in _DECLARED}}
    return _texts(result)


def _texts(members: dict[str, Any]) -> dict[str, Any]:
    """Tokens and subscription ids as texts."""
    if isinstance(members.get("progressToken"), int):
        members = {**members, "progressToken": str(members["progressToken"])}
    meta = members.get("_meta")
    if isinstance(meta, dict) and isinstance(meta.get(_SUBSCRIPTION), int):
        members = {**members, "_meta": {**meta, _SUBSCRIPTION: str(meta[_SUBSCRIPTION])}}
    return members


def _agreeing(headers: list[tuple[bytes, bytes]], request: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    """The headers as the body wants them, so that whatever was sent is accepted."""
    method, params = request.get("method", ""), request.get("params")
    kept = [pair for pair in headers if not pair[0].startswith((b"mcp-method", b"mcp-name", b"mcp-param-"))]
    kept.append((b"mcp-method", str(method).encode()))
    name = params.get(_NAMED_BY.get(method, "")) if isinstance(params, dict) else None
    return [*kept, (b"mcp-name", encode_header_value(name).encode())] if isinstance(name, str) else kept


async def _body(receive: Receive) -> bytes:
    pieces, more = [], True
    while more:
        message = await receive()
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(pieces)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _dumped(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()
