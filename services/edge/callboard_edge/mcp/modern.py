"""The rules of the stateless era (MCP 2026-07-28) for one request: headers, `_meta`, version. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from callboard.contracts.calls import HANDSHAKE_VERSIONS, MODERN
from callboard.kernel.header_values import decode_header_value
from callboard_edge.mcp.envelope import Message, Meta, Params

HEADER_MISMATCH, UNSUPPORTED_VERSION, INVALID_PARAMS = -32020, -32022, -32602
SUPPORTED = [MODERN, *reversed(HANDSHAKE_VERSIONS)]
ROUTED = frozenset(
    {
        "tools/list",
        "tools/call",
        "prompts/list",
        "prompts/get",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "completion/complete",
        "tasks/get",
        "tasks/update",
        "tasks/cancel",
    }
)
"""Methods that go to the router, in both eras."""
_NAMED = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "task_id",
    "tasks/update": "task_id",
    "tasks/cancel": "task_id",
}
_SPELLED = {"task_id": "taskId"}
_MODERN = MODERN.encode()
_ROUTING = (b"mcp-protocol-version", b"mcp-method", b"mcp-name")


class Fault(Exception):
    """A rule is broken: a JSON-RPC error that is answered with HTTP 400."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


def is_modern(version_header: bytes | None, params: Params) -> bool:
    """Which era a request is of: the header says it, else the presence of the version in `_meta`."""
    if version_header == _MODERN:
        return True
    if version_header is not None:
        version = text_of(version_header)
        if version in HANDSHAKE_VERSIONS:
            return False
        if version == MODERN:
            return True
    return isinstance(params.meta, msgspec.Struct) and params.meta.protocol_version is not msgspec.UNSET


def check(message: Message, params: Params, headers: dict[bytes, bytes], raw: list[tuple[bytes, bytes]]) -> None:
    """Raise the first `Fault`: `_meta` complete, headers equal to the body, version served."""
    if len(raw) > len(headers) and sum(name in _ROUTING for name, _ in raw) > sum(name in headers for name in _ROUTING):
        raise Fault(HEADER_MISMATCH, "a routing header stands more than once")
    meta = _complete(params)
    version = headers.get(b"mcp-protocol-version")
    if version is None or text_of(version) != meta.protocol_version:
        raise Fault(HEADER_MISMATCH, "the MCP-Protocol-Version header is not the version in params._meta")
    if text_of(headers.get(b"mcp-method", b"")) != message.method:
        raise Fault(HEADER_MISMATCH, "the Mcp-Method header is not the method of the body")
    _check_name(message.method, params, headers)
    _check_served(meta)


def check_without_headers(params: Params) -> None:
    """The same for a carrier that has no headers for each message (WebSocket)."""
    _check_served(_complete(params))


def _complete(params: Params) -> Meta:
    meta = params.meta
    if not isinstance(meta, Meta):
        raise Fault(INVALID_PARAMS, "params._meta with protocolVersion and clientCapabilities is required")
    if meta.protocol_version is msgspec.UNSET or meta.client_capabilities is msgspec.UNSET:
        raise Fault(INVALID_PARAMS, "params._meta lacks io.modelcontextprotocol/protocolVersion or clientCapabilities")
    return meta


def _check_served(meta: Meta) -> None:
    if meta.protocol_version != MODERN:
        data = {"supported": SUPPORTED, "requested": meta.protocol_version}
        raise Fault(UNSUPPORTED_VERSION, "Unsupported protocol version", data)
    assert isinstance(meta.client_capabilities, msgspec.Raw)
    if bytes(meta.client_capabilities)[:1] != b"{":
        raise Fault(INVALID_PARAMS, "clientCapabilities must be an object")


def _check_name(method: str, params: Params, headers: dict[bytes, bytes]) -> None:
    key = _NAMED.get(method)
    if key is None:
        return
    value = getattr(params, key)
    if value is not None and _decoded(headers.get(b"mcp-name")) != value:
        raise Fault(HEADER_MISMATCH, f"the Mcp-Name header is not the {_SPELLED.get(key, key)!r} of the body")


def _decoded(value: bytes | None) -> str | None:
    return None if value is None else decode_header_value(text_of(value))


def text_of(value: bytes) -> str:
    """A header value without the white space around it, which the HTTP parser leaves at its end."""
    return value.decode("latin-1").strip(" \t")
