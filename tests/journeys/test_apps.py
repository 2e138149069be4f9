"""MCP Apps: what a tool is shown with comes through as it is, and is fetched from the server that the tool is of."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.extension import advertise
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID

from tests.journeys.test_inspector import inspect
from tests.support.agents import agent, published
from tests.support.stack import META, Stack
from tests.support.upstreams.launch import command, running

pytestmark = [pytest.mark.asyncio(loop_scope="session")]
SHOWS_APPS = {"extensions": {EXTENSION_ID: {"mimeTypes": [APP_MIME_TYPE]}}}
_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"


def playbook(servers: dict[str, Any], **use: Any) -> str:
    """A file with playbook `p` over these servers; `use` says how, by server."""
    uses = {name: use.get(name, {}) for name in servers}
    body = {"version": 1, "organisation": "ORG", "servers": servers, "playbooks": {"p": {"servers": uses}}}
    return json.dumps(body)


async def asked(url: str, token: str, method: str, params: dict[str, Any], capabilities: Any = None) -> dict[str, Any]:
    """The result of one stateless request, with everything in it."""
    headers = {
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": method,
        "Accept": "application/json, text/event-stream",
    }
    if name := params.get("name") or params.get("uri"):
        headers["Mcp-Name"] = name
    if token:
        headers["Authorization"] = f"Bearer {token}"
    meta = {**META, _CAPABILITIES: SHOWS_APPS if capabilities is None else capabilities}
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    async with httpx2.AsyncClient(timeout=30) as http:
        text = (await http.post(url, json=body, headers=headers)).text
    line = next((line[6:] for line in text.splitlines() if line.startswith("data: {")), text)
    answer: dict[str, Any] = json.loads(line)
    return answer


async def test_tools_and_apps_are_what_they_are_directly(stack: Stack) -> None:
    async with running("apps", "--site", "wall") as wall, running("apps", "--site", "wrist") as wrist:
        servers = {"a": {"url": wall.url}, "b": {"url": wrist.url}}
        renamed = {"a": {"tools": {"rename": {"clock": "time"}}}}
        organisation, token = await published(stack, playbook(servers, **renamed))
        url = stack.endpoint(organisation, "p", stack.replicas - 1)
        listed = (await asked(url, token, "tools/list", {}))["result"]["tools"]
        assert [tool["name"] for tool in listed] == ["a__time", "a__panel", "b__clock", "b__panel"]
        for prefix, upstream in (("a__", wall), ("b__", wrist)):
            direct = (await asked(upstream.url, "", "tools/list", {}))["result"]["tools"]
            through = [tool for tool in listed if tool["name"].startswith(prefix)]
            assert [{**tool, "name": ""} for tool in through] == [{**tool, "name": ""} for tool in direct]
            resource = direct[0]["_meta"]["ui"]["resourceUri"]
            for uri in (resource, resource.replace("clock", "panel")):
                read = await asked(url, token, "resources/read", {"uri": uri})
                assert read == await asked(upstream.url, "", "resources/read", {"uri": uri})
                assert read["result"]["contents"][0]["mimeType"] == APP_MIME_TYPE
        lists = [(await asked(one.url, "", "resources/list", {}))["result"]["resources"][0] for one in (wall, wrist)]
        assert (await asked(url, token, "resources/list", {}))["result"]["resources"] == lists


async def test_an_app_that_no_tool_names_is_fetched_from_nobody(stack: Stack) -> None:
    async with running("apps", "--site", "wall") as wall, running("apps", "--site", "wrist") as wrist:
        hidden = {"a": {"tools": {"deny": ["panel"]}}}
        servers = {"a": {"url": wall.url}, "b": {"url": wrist.url}}
        organisation, token = await published(stack, playbook(servers, **hidden))
        url = stack.endpoint(organisation, "p")
        for uri in ("ui://wall/panel.html", "ui://elsewhere/clock.html"):
            answer = await asked(url, token, "resources/read", {"uri": uri})
            assert answer["error"]["code"] == -32602
            assert answer["error"]["data"]["uri"] == uri


@pytest.mark.parametrize("era", ["2025", "2026"])
@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("transport", ["http", "stdio"])
async def test_a_server_knows_who_can_show_its_app(stack: Stack, era: str, mode: str, transport: str) -> None:
    words = ("apps", "--era", era)
    async with running(*words) as upstream:
        server = {"url": upstream.url} if transport == "http" else {"command": command(*words, "--transport", "stdio")}
        organisation, token = await published(stack, playbook({"a": server}))
        url = stack.endpoint(organisation, "p", stack.replicas - 1)
        shows = [advertise(EXTENSION_ID, {"mimeTypes": [APP_MIME_TYPE]})]
        async with agent(url, token, mode, extensions=shows) as showing, agent(url, token, mode) as reading:
            assert await _said(showing) == "clock: shown in the app"
            if era == "2026":  # a client that declares nothing shares a handshake session, which declares apps
                assert await _said(reading) == "clock: in words"
            assert {tool.name for tool in (await reading.list_tools()).tools} == {"a__clock", "a__panel"}
            if era == "2026":  # the SDK's server declares extensions in this era only
                assert showing.server_capabilities is not None
                assert showing.server_capabilities.extensions == {
                    EXTENSION_ID: {"mimeTypes": [APP_MIME_TYPE]},
                    "org.example/clock": {"level": 3},
                }


async def _said(client: Client) -> str:
    result = await client.call_tool("a__clock", {})
    return str(result.content[0].text)  # type: ignore[union-attr]


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_the_inspector_reads_an_app(stack: Stack, era: str) -> None:
    async with running("apps") as upstream:
        organisation, token = await published(stack, playbook({"a": {"url": upstream.url}}))
        url = stack.endpoint(organisation, "p")
        tools = await inspect(url, token, era, "--method", "tools/list")
        uri = next(tool for tool in tools["tools"] if tool["name"] == "a__panel")["_meta"]["ui"]["resourceUri"]
        read = await inspect(url, token, era, "--method", "resources/read", "--uri", uri)
        assert read["contents"][0]["mimeType"] == APP_MIME_TYPE
        assert read["contents"][0]["_meta"] == {"ui": {"prefersBorder": True}}
