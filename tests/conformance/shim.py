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
from callboard.contracts.definitions import IdentityProvider, SecretRef, ServerDefinition, UpstreamOAuth
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


GRANTS = {
    "auth/client-credentials-basic": "client_credentials",
    "auth/client-credentials-jwt": "client_credentials",
    "auth/enterprise-managed-authorization": "enterprise",
    "auth/wif-jwt-bearer": "workload",
}
# What stands in the context of a scenario under the second name is the first of a definition.
SECRETS = {"client_secret": "client_secret", "private_key": "private_key_pem", "assertion": "assertion"}
SCENARIOS: dict[str, Scenario] = {
    "http-custom-headers": call_as_told,
    "json-schema-2020-12-preservation": echo_schema,
    "request-metadata": call_unlisted,
    "sep-2322-client-request-state": both_eras,
}


def definition(url: str, scenario: str, context: dict[str, Any]) -> tuple[ServerDefinition, dict[str, str]]:
    """The server as an operator would define it with what the scenario gives, and the secrets for the vault.

    One sign-in is shared here, because the connector lists the server before anybody calls it.
    """
    if not scenario.startswith("auth/"):
        return ServerDefinition(url=url), {}
    grant = GRANTS.get(scenario, "authorization_code")
    context = {**context, "assertion": context.get("idp_id_token", context.get("valid_jwt"))}
    context = {name: value for name, value in context.items() if value is not None}
    refs = {key: SecretRef(secret=name) for key, name in SECRETS.items() if name in context}
    provider = (
        IdentityProvider(token_endpoint=context["idp_token_endpoint"], client_id=context["idp_client_id"])
        if "idp_token_endpoint" in context
        else None
    )
    oauth = UpstreamOAuth(
        credentials="shared",
        grant=grant,  # type: ignore[arg-type]  # one of GRANTS
        client_id=context.get("client_id", ""),
        client_secret=refs.get("client_secret"),
        private_key=refs.get("private_key"),
        assertion=refs.get("assertion"),
        identity_provider=provider,
    )
    return ServerDefinition(url=url, oauth=oauth), {name: context[name] for name in SECRETS.values() if name in context}


async def play(url: str) -> None:
    """Do what the scenario of the environment wants to see of a client."""
    era = MODERN if os.environ["MCP_CONFORMANCE_PROTOCOL_VERSION"] == MODERN else LEGACY
    scenario = SCENARIOS.get(os.environ["MCP_CONFORMANCE_SCENARIO"], use_everything)
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    async with Connector(*definition(url, os.environ["MCP_CONFORMANCE_SCENARIO"], context)) as connector:
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
