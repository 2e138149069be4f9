"""The names of spans and of their attributes, in one place because OpenTelemetry's for MCP are still in development.

https://github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai/mcp.md. What they lack begins with
`callboard.`. Never here: arguments, results, URIs of resources, names of persons and clients, tokens, session ids.
"""

from __future__ import annotations

from typing import Final

METHOD: Final = "mcp.method.name"
PROTOCOL: Final = "mcp.protocol.version"
TOOL: Final = "gen_ai.tool.name"
PROMPT: Final = "gen_ai.prompt.name"
OPERATION: Final = "gen_ai.operation.name"
ERROR_TYPE: Final = "error.type"
STATUS_CODE: Final = "rpc.response.status_code"
TRANSPORT: Final = "network.transport"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
HTTP_METHOD: Final = "http.request.method"
HTTP_ROUTE: Final = "http.route"
HTTP_STATUS: Final = "http.response.status_code"
MESSAGING: Final = "messaging.system"
DESTINATION: Final = "messaging.destination.name"

ORGANISATION: Final = "callboard.organisation"
PLAYBOOK: Final = "callboard.playbook"
VERSION: Final = "callboard.playbook.version"
SERVER: Final = "callboard.server"
DIGEST: Final = "callboard.tool.digest"
CALL_ID: Final = "callboard.call_id"
OUTCOME: Final = "callboard.outcome"
PROJECTION: Final = "callboard.projection"
SEQ: Final = "callboard.seq"

TOOL_ERROR: Final = "tool_error"
"""`error.type` of a result with `isError`."""
_NAMED: Final = {"tools/call": TOOL, "prompts/get": PROMPT}
_LONGEST = 128


def method_name(method: str, name: str) -> str:
    """The name of a span: `tools/call NAME`; of what a resource is called nothing is told."""
    return f"{method} {name}"[:_LONGEST] if name and method in _NAMED else method[:_LONGEST]


def of_method(method: str, name: str, era: str) -> dict[str, str | int]:
    """The attributes that every span of a request has."""
    told: dict[str, str | int] = {METHOD: method[:_LONGEST], PROTOCOL: era}
    if method == "tools/call":
        told[OPERATION] = "execute_tool"
    if name and method in _NAMED:
        told[_NAMED[method]] = name[:_LONGEST]
    return told
