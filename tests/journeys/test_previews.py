"""What an operator sees of a client's view: previews, now and then, and explanations."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from callboard.contracts.calls import LEGACY, MODERN
from tests.support.names import fresh
from tests.support.stack import Stack
from tests.support.upstreams.launch import running
from tests.support.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

FILE = """\
version: 1
organisation: {organisation}
servers:
  every: {{url: "{url}"}}
playbooks:
  start:
    servers:
      every: {{tools: {tools}}}
    prompts:
      hello: {{template: "Hi"}}
"""
METHODS = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")


async def applied(stack: Stack, organisation: str, url: str, tools: str = "{}") -> None:
    await stack.apply(FILE.format(organisation=organisation, url=url, tools=tools))


async def lists_of(stack: Stack, url: str, token: str, era: str) -> dict[str, Any]:
    """What a real client of this era gets, method by method."""
    if era == "2026":
        return {method: [(await stack.rpc(url, method, {}, token)).json()["result"]] for method in METHODS}
    sent = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": LEGACY,
    }
    hello = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    async with httpx2.AsyncClient(headers=sent, timeout=30) as http:
        began = await http.post(url, json={"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello})
        session = {"Mcp-Session-Id": began.headers["mcp-session-id"]}
        found = {}
        for method in METHODS:
            body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}
            found[method] = [(await http.post(url, json=body, headers=session)).json()["result"]]
    return found


@pytest.mark.parametrize("era", ["2026", "2025"])
async def test_a_preview_is_exactly_what_the_client_gets(stack: Stack, era: str) -> None:
    async with running("everything") as upstream:
        organisation = fresh("org")
        name = f"{organisation}/start"
        await applied(stack, organisation, upstream.url)
        await applied(stack, organisation, upstream.url, '{deny: ["e*"]}')
        await stack.cli("playbook", "pin", name, "ann", "@1", "-m", "why")
        url = stack.endpoint(organisation, "start")
        for client, version in (("ann", 1), ("bob", 2)):
            token = await stack.token(organisation, client)

            async def same(client: str = client, token: str = token, version: int = version) -> bool:
                seen = await stack.cli_json("playbook", "preview", name, "--as", client, "--era", era)
                assert (seen["version"], seen["current"]) == (version, 2)
                assert seen["era"] == (MODERN if era == "2026" else LEGACY)
                return bool(seen["lists"] == await lists_of(stack, url, token, era))

            assert await eventually(same)
        fixed = await stack.cli_json("playbook", "preview", f"{name}@2", "--as", "ann", "--era", era)
        assert fixed["version"] == 2


async def test_a_preview_tells_why_each_hidden_thing_is_hidden(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        await applied(stack, organisation, upstream.url, '{deny: ["m*"], allow: ["mark", "echo"]}')
        name = f"{organisation}/start"
        seen = await stack.cli_json("playbook", "preview", name, "--as", "ann")
        hidden = {thing["name"]: (thing["reason"], thing["rule"]) for thing in seen["hidden"]}
        assert hidden["mark"] == ("denied", "servers.every.tools.deny: m*")
        assert hidden["slow"] == ("not_allowed", "servers.every.tools.allow")
        assert "echo" not in hidden
        _, out, _ = await stack.cli("playbook", "preview", name, "--as", "ann")
        assert "tool every__echo" in out
        assert "- tool mark of every is hidden, denied (servers.every.tools.deny: m*)" in out


async def test_a_preview_of_a_time_is_of_the_version_the_pins_and_the_servers_of_then(stack: Stack) -> None:
    async with running("echo") as echo, running("everything") as everything:
        organisation = fresh("org")
        name = f"{organisation}/start"
        before = datetime.now(UTC)
        await applied(stack, organisation, echo.url)
        then = datetime.now(UTC)
        await stack.cli("playbook", "pin", name, "ann", "@1", "-m", "why")
        # Same version, same pin: only what the server offers is another thing afterwards.
        await applied(stack, organisation, everything.url)

        async def names(*more: str) -> set[str]:
            seen = await stack.cli_json("playbook", "preview", name, "--as", "ann", *more)
            return {tool["name"] for page in seen["lists"]["tools/list"] for tool in page["tools"]}

        async def is_new() -> bool:
            return "every__mark" not in await names()

        await eventually(is_new)
        assert "every__mark" in await names("--at", then.isoformat())
        code, _, err = await stack.cli("playbook", "preview", name, "--as", "ann", "--at", before.isoformat(), ok=False)
        assert (code, "there is no playbook" in err) == (1, True)


async def test_a_tool_is_explained_by_the_rules_of_the_file(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        name = f"{organisation}/start"
        await applied(stack, organisation, upstream.url, '{deny: ["m*"], rename: {echo: say}}')
        _, out, _ = await stack.cli("playbook", "explain", name, "every__say")
        assert out.splitlines()[0] == "echo of every is shown as every__say"
        assert "  playbooks.start.servers.every.tools.rename.echo: renamed to say" in out
        found = await stack.cli_json("playbook", "explain", name, "mark")
        (tool,) = found["tools"]
        assert (tool["hidden"], tool["rules"][0]["where"]) == ("denied", "playbooks.start.servers.every.tools.deny")
        code, _, err = await stack.cli("playbook", "explain", name, "nothing", ok=False)
        assert (code, "has a tool 'nothing'" in err) == (1, True)
