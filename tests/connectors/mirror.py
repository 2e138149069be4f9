"""A stateless MCP server that tells what it was sent, and one tool that asks the user.

python -m tests.connectors.mirror --port 0
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.support.upstreams import wire

MODERN = "2026-07-28"
SCHEMA = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "count": {"type": "integer", "x-mcp-header": "Count"},
        "on": {"type": "boolean", "x-mcp-header": "On"},
    },
}
TOOLS = [{"name": "whoami", "inputSchema": SCHEMA}, {"name": "ask", "inputSchema": {"type": "object"}}]


def answer(message: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    method, params = message["method"], message.get("params", {})
    if method == "server/discover":
        return {"result": {"supportedVersions": [MODERN], "capabilities": {"tools": {}}, "ttlMs": 0}}
    if method == "tools/list":
        return {"result": {"resultType": "complete", "tools": TOOLS}}
    if method == "tools/call" and params["name"] == "ask":
        request = {"method": "elicitation/create", "params": {"message": "?", "requestedSchema": {}}}
        return {"result": {"resultType": "input_required", "inputRequests": {"a": request}, "requestState": "x"}}
    if method == "tools/call":
        seen = {"headers": headers, "meta": params.get("_meta"), "params": params}
        return {"result": {"content": [{"type": "text", "text": "see"}], **seen}}
    return {"error": {"code": -32601, "message": "Method not found"}}


def serve(connection: wire.Connection) -> None:
    if connection.method != b"POST":
        connection.respond(405)
        return
    if connection.path == "/moved":
        connection.respond(307, extra=b"Location: /mcp/\r\n")
        return
    if connection.path == "/away":
        connection.respond(308, extra=b"Location: http://example.invalid/mcp\r\n")
        return
    message = json.loads(connection.body())
    headers = {name.decode(): value.decode("latin-1") for name, value in connection.headers.items()}
    reply = {"jsonrpc": "2.0", "id": message.get("id"), **answer(message, headers)}
    connection.json(json.dumps(reply).encode())


async def main(port: int) -> None:
    await wire.until_terminated(lambda: wire.listen(serve, port))


if __name__ == "__main__":
    wire.run(main(int(sys.argv[sys.argv.index("--port") + 1])))
