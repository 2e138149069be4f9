"""A playbook's MCP endpoint in the stateless era (revision 2026-07-28, Streamable HTTP, `_meta` on each request).

Small on purpose: for the CLI and for scripts. An agent uses the official SDK.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import httpx2
import msgspec

import callboard
from callboard.client.transport import Transport, Unreachable
from callboard.contracts.calls import MODERN

_META: Final = "io.modelcontextprotocol/"
_NAMED_BY: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
Notification = Callable[[str, dict[str, Any]], None]
"""Called with method and params of each notification that comes before the result."""


class McpError(Exception):
    """The JSON-RPC error a request was answered with."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class McpEndpoint:
    """One playbook. Answers are plain data as the protocol names it; raises `McpError`, `Unreachable`."""

    def __init__(self, transport: Transport, path: str) -> None:
        self._transport = transport
        self._path = path
        self._ids = itertools.count(1)

    def tools(self) -> list[dict[str, Any]]:
        """All tools, over every page."""
        return self._all("tools/list", "tools")

    def prompts(self) -> list[dict[str, Any]]:
        """All prompts, over every page."""
        return self._all("prompts/list", "prompts")

    def resources(self) -> list[dict[str, Any]]:
        """All resources, over every page."""
        return self._all("resources/list", "resources")

    def resource_templates(self) -> list[dict[str, Any]]:
        """All resource templates, over every page."""
        return self._all("resources/templates/list", "resourceTemplates")

    def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any],
        *,
        tool: Mapping[str, Any] | None = None,
        on_notification: Notification | None = None,
    ) -> dict[str, Any]:
        """Call a tool. `tool` is its definition, needed only for arguments that travel in headers too."""
        headers = _argument_headers(tool.get("inputSchema", {}) if tool else {}, arguments)
        params = {"name": name, "arguments": dict(arguments)}
        return self.request("tools/call", params, headers=headers, on_notification=on_notification)

    def get_prompt(self, name: str, arguments: Mapping[str, str]) -> dict[str, Any]:
        """Get a prompt."""
        return self.request("prompts/get", {"name": name, "arguments": dict(arguments)})

    def read_resource(self, uri: str) -> dict[str, Any]:
        """Read a resource."""
        return self.request("resources/read", {"uri": uri})

    def request(
        self,
        method: str,
        params: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
        on_notification: Notification | None = None,
    ) -> dict[str, Any]:
        """One request; the answer may come as JSON or as a stream with notifications before it."""
        number = next(self._ids)
        meta: dict[str, Any] = {
            f"{_META}protocolVersion": MODERN,
            f"{_META}clientInfo": {"name": "callboard-client", "version": callboard.__version__},
            f"{_META}clientCapabilities": {},
        }
        if on_notification is not None:
            meta["progressToken"] = number
        body = {"jsonrpc": "2.0", "id": number, "method": method, "params": {**params, "_meta": meta}}
        sent = {**_protocol_headers(method, params), **(headers or {})}
        content = msgspec.json.encode(body)
        with self._transport.stream("POST", self._path, content=content, headers=sent) as response:
            return self._result(response, number, on_notification)

    def _all(self, method: str, key: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        cursor: dict[str, Any] = {}
        while True:
            page = self.request(method, cursor)
            items += page.get(key, [])
            if not page.get("nextCursor"):
                return items
            cursor = {"cursor": page["nextCursor"]}

    def _result(self, response: httpx2.Response, number: int, on_notification: Notification | None) -> dict[str, Any]:
        for message in self._messages(response):
            if "method" in message:
                if on_notification is not None:
                    on_notification(message["method"], message.get("params") or {})
            elif "error" in message:
                error = message["error"]
                raise McpError(error.get("code", 0), error.get("message", ""), error.get("data"))
            elif message.get("id") == number:
                result: dict[str, Any] = message.get("result") or {}
                return result
        raise Unreachable(f"{response.url} ended without an answer")

    def _messages(self, response: httpx2.Response) -> Iterator[dict[str, Any]]:
        try:
            if response.headers.get("content-type", "").startswith("text/event-stream"):
                for event in httpx2.EventSource(response):
                    if event.data:
                        yield msgspec.json.decode(event.data, type=dict[str, Any])
                return
            content = response.read()
            if response.headers.get("content-type", "").startswith("application/problem+json"):
                raise self._transport.problem_of(response)
            yield msgspec.json.decode(content, type=dict[str, Any])
        except msgspec.DecodeError:
            text = f"{response.url} answered {response.status_code}, and not like an MCP server"
            raise Unreachable(text) from None


def _protocol_headers(method: str, params: Mapping[str, Any]) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": method,
    }
    if method in _NAMED_BY:
        headers["Mcp-Name"] = _header_value(str(params[_NAMED_BY[method]]))
    return headers


def _header_value(value: str) -> str:
    """The value as it is where a header can carry it, else wrapped in base 64 (2026-07-28, header encoding)."""
    plain = all(" " <= c <= "~" for c in value) and value == value.strip() and not value.startswith("=?base64?")
    return value if plain else f"=?base64?{base64.b64encode(value.encode()).decode()}?="


def _argument_headers(schema: Any, arguments: Any) -> dict[str, str]:
    """`Mcp-Param-*` for each argument whose schema asks for it with `x-mcp-header`, nested ones included."""
    headers: dict[str, str] = {}
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping) or not isinstance(arguments, Mapping):
        return headers
    for name, property_schema in properties.items():
        value = arguments.get(name)
        headers |= _argument_headers(property_schema, value)
        token = property_schema.get("x-mcp-header") if isinstance(property_schema, Mapping) else None
        if isinstance(token, str) and isinstance(value, str | int):
            text = str(value).lower() if isinstance(value, bool) else str(value)
            headers[f"Mcp-Param-{token}"] = _header_value(text)
    return headers
