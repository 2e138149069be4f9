"""The client that the official suite starts for each client scenario: Callboard's connector, and what a client does.

python -m tests.conformance.shim URL

The suite says in MCP_CONFORMANCE_SCENARIO, _PROTOCOL_VERSION and _CONTEXT what it wants to see.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from callboard.contracts.calls import LEGACY, MODERN
from tests.conformance.connector import Connector, Failed

Scenario = Callable[[Connector, str], Awaitable[None]]
_ARGUMENTS: dict[str, dict[str, Any]] = {"add_numbers": {"a": 5, "b": 3}, "valid_tool": {"region": "eu"}}


async def use_everything(connector: Connector, era: str) -> None:
    """Call, read and get whatever is listed and usable."""
    for name in connector.tools:
        await call_tool(connector, era, name, _ARGUMENTS.get(name, {}))
    for resource in connector.catalogue.resources:
        await connector.call(era, "resources/read", resource.name, {"uri": resource.name})
    for prompt in connector.catalogue.prompts:
        await connector.call(era, "prompts/get", prompt.name, {"name": prompt.name})


async def call_unlisted(connector: Connector, era: str) -> None:
    """One request of a client that offers all capabilities, to a server that lists nothing."""
    await call_tool(connector, era, "anything", {})


async def call_as_told(connector: Connector, era: str) -> None:
    """The calls of the scenario's context."""
    for wanted in json.loads(os.environ["MCP_CONFORMANCE_CONTEXT"])["toolCalls"]:
        await call_tool(connector, era, wanted["name"], wanted["arguments"])


async def echo_schema(connector: Connector, era: str) -> None:
    """Send the input schema of the first tool back, as the catalogue has it."""
    schema = json.loads(bytes(connector.catalogue.tools[0].raw))["inputSchema"]
    await call_tool(connector, era, "json_schema_echo", {"schema": schema})


async def both_eras(connector: Connector, era: str) -> None:
    """Questions of the server, to a stateless client that comes back itself, and to one that the connector asks."""
    for each in (era, LEGACY):
        await asyncio.gather(*(call_tool(connector, each, name, {}) for name in connector.tools))


async def call_tool(connector: Connector, era: str, name: str, arguments: dict[str, Any]) -> None:
    await connector.call(era, "tools/call", name, {"name": name, "arguments": arguments})


SCENARIOS: dict[str, Scenario] = {
    "http-custom-headers": call_as_told,
    "json-schema-2020-12-preservation": echo_schema,
    "request-metadata": call_unlisted,
    "sep-2322-client-request-state": both_eras,
}


async def play(url: str) -> None:
    """Do what the scenario of the environment wants to see of a client."""
    era = MODERN if os.environ["MCP_CONFORMANCE_PROTOCOL_VERSION"] == MODERN else LEGACY
    scenario = SCENARIOS.get(os.environ["MCP_CONFORMANCE_SCENARIO"], use_everything)
    async with Connector(url) as connector:
        await scenario(connector, era)


def main() -> int:
    try:
        asyncio.run(play(sys.argv[1]))
    except Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
