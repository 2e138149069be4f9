"""The official inspector, as a person uses it to look into an endpoint."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import pytest

from tests.support import node_tools
from tests.support.agents import one_server, published
from tests.support.carriers import socket_url
from tests.support.stack import Stack
from tests.support.upstreams.launch import running
from tests.support.waiting import PATIENCE

pytestmark = [pytest.mark.asyncio(loop_scope="session")]


async def inspect(url: str, token: str, era: str, *words: str, transport: str = "http") -> Any:
    process = await asyncio.create_subprocess_exec(
        str(node_tools.binary("mcp-inspector")),
        "--cli",
        url,
        "--transport",
        transport,
        "--protocol-era",
        era,
        "--header",
        f"Authorization: Bearer {token}",
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=node_tools.node_environment(),
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return json.loads(out)


@pytest.mark.parametrize(("era", "transport"), [("legacy", "http"), ("modern", "http"), ("legacy", "sse")])
async def test_the_inspector_lists_and_calls(stack: Stack, era: str, transport: str) -> None:
    async with running("everything", "--transport", "http") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        url = stack.endpoint(organisation, "p").removesuffix("mcp") + {"http": "mcp", "sse": "sse"}[transport]

        async def asked(*words: str) -> Any:
            return await inspect(url, token, era, *words, transport=transport)

        tools = await asked("--method", "tools/list")
        assert "test_simple_text" in {tool["name"] for tool in tools["tools"]}
        prompts = await asked("--method", "prompts/list")
        assert "test_simple_prompt" in {prompt["name"] for prompt in prompts["prompts"]}
        read = await asked("--method", "resources/read", "--uri", "test://static-text")
        assert read["contents"][0]["uri"] == "test://static-text"
        result = await asked("--method", "tools/call", "--tool-name", "test_simple_text")
        assert result["content"][0]["type"] == "text"


async def test_the_official_client_of_a_browser_comes_in_with_a_session_token(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        async with httpx2.AsyncClient(timeout=PATIENCE, headers={"Authorization": f"Bearer {token}"}) as http:
            given = (await http.post(f"{stack.url}/p/{organisation}/p/ws")).json()
        node_tools.installed()
        process = await asyncio.create_subprocess_exec(
            node_tools.node(),
            str(node_tools.FOLDER / "browser.mjs"),
            socket_url(stack, organisation, "p", stack.replicas - 1),
            *given["subprotocols"][1:],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, err.decode()
        assert json.loads(out)["text"] == "from a page"
