"""The official inspector, as a person uses it to look into an endpoint."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.support import node_tools
from tests.support.agents import one_server, published
from tests.support.stack import Stack
from tests.support.upstreams.launch import running

pytestmark = [pytest.mark.asyncio(loop_scope="session")]


async def inspect(url: str, token: str, era: str, *words: str) -> Any:
    process = await asyncio.create_subprocess_exec(
        str(node_tools.binary("mcp-inspector")),
        "--cli",
        url,
        "--transport",
        "http",
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


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_the_inspector_lists_and_calls(stack: Stack, era: str) -> None:
    async with running("everything", "--transport", "http") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        url = stack.endpoint(organisation, "p")
        tools = await inspect(url, token, era, "--method", "tools/list")
        assert "test_simple_text" in {tool["name"] for tool in tools["tools"]}
        prompts = await inspect(url, token, era, "--method", "prompts/list")
        assert "test_simple_prompt" in {prompt["name"] for prompt in prompts["prompts"]}
        read = await inspect(url, token, era, "--method", "resources/read", "--uri", "test://static-text")
        assert read["contents"][0]["uri"] == "test://static-text"
        call = ("--method", "tools/call", "--tool-name", "test_simple_text")
        result = await inspect(url, token, era, *call)
        assert result["content"][0]["type"] == "text"
