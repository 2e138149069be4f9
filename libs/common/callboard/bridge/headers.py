"""The headers of a stateless request (MCP 2026-07-28, transports), and what `tools/list` answers say about them."""

from __future__ import annotations

from typing import Final

import msgspec

from callboard.bridge.messages import NOTHING, Envelope, Params
from callboard.kernel.header_values import encode_header_value
from callboard.kernel.param_headers import ANNOTATION, HeaderMap, annotation_fault, header_map, param_headers

MEDIA: Final = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
_NAMED_BY: Final = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "task_id",
    "tasks/update": "task_id",
    "tasks/cancel": "task_id",
}


class _Tool(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    input_schema: msgspec.Raw = NOTHING


class _Tools(msgspec.Struct, frozen=True, rename="camel"):
    tools: list[_Tool] = []
    next_cursor: str | None = None


_tools = msgspec.json.Decoder(_Tools).decode
_any = msgspec.json.Decoder().decode


class RequestHeaders:
    """Makes the headers; knows the `x-mcp-header` annotations of the tools that were listed so far."""

    def __init__(self) -> None:
        self._maps: dict[str, HeaderMap] = {}

    def learn(self, result: bytes) -> str | None:
        """Take in the result of a `tools/list`; returns its `nextCursor`."""
        try:
            page = _tools(result)
        except msgspec.DecodeError:
            return None
        for tool in page.tools:
            found = _map_of(bytes(tool.input_schema))
            if found:
                self._maps[tool.name] = found
            else:
                self._maps.pop(tool.name, None)
        return page.next_cursor

    def of(self, message: Envelope, params: Params) -> dict[str, str]:
        """The headers of one request."""
        headers = {
            **MEDIA,
            "MCP-Protocol-Version": encode_header_value(params.version),
            "Mcp-Method": encode_header_value(message.method),
        }
        key = _NAMED_BY.get(message.method)
        name = None if key is None else getattr(params, key)
        if isinstance(name, str):
            headers["Mcp-Name"] = encode_header_value(name)
        if message.method == "tools/call" and isinstance(name, str) and name in self._maps:
            headers |= param_headers(self._maps[name], params.arguments)
        return headers


def _map_of(schema: bytes) -> HeaderMap:
    if ANNOTATION.encode() not in schema:
        return ()
    decoded = _any(schema)
    return () if annotation_fault(decoded) else header_map(decoded)
