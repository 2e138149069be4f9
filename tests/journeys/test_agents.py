"""What an agent does, with the official client in both eras, against one and against two of every service."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from mcp import Client

from tests.support.agents import one_server, published
from tests.support.carriers import WAYS, agent_by, mode_of
from tests.support.shared import Shared, everything_behind, everything_url
from tests.support.stack import Stack
from tests.support.upstreams.launch import running
from tests.support.waiting import PATIENCE, eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session")]


def any_edge(stack: Stack, organisation: str, playbook: str) -> str:
    return stack.endpoint(organisation, playbook, random.randrange(stack.replicas))


REAL = """
    version: 1
    organisation: ORG
    servers:
      time: {command: [mcp-server-time, --local-timezone, UTC]}
      git: {command: [mcp-server-git, --repository, FOLDER]}
    playbooks:
      start:
        title: Time and history
        servers:
          time: {}
          git:
            tools:
              allow: [git_log, git_status, git_reset]
              deny: [git_reset]
              rename: {git_log: history}
              describe: {git_status: What has changed}
        prompts:
          summary:
            description: Sum up
            arguments: [{name: count, required: true}]
            template: "Sum up the last {{count}} commits."
"""


@pytest_asyncio.fixture(loop_scope="session")
async def real_servers(stack: Stack, shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    """Organisation and token of a playbook over two servers from the registry, and the folder that one looks at."""

    async def publish() -> tuple[str, str, Path]:
        folder = tmp_path_factory.mktemp("git")
        await _git(folder)
        return *(await published(stack, REAL.replace("FOLDER", str(folder)))), folder

    return await shared.of((stack.url, "real servers"), publish)


@pytest.mark.parametrize("way", WAYS)
async def test_an_agent_uses_the_tools_of_several_real_servers_as_one(
    stack: Stack, real_servers: tuple[str, str, Path], way: str
) -> None:
    organisation, token, folder = real_servers
    async with agent_by(way, stack, organisation, "start", token) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert sorted(tools) == ["git__git_status", "git__history", "time__convert_time", "time__get_current_time"]
        assert tools["git__git_status"].description == "What has changed"
        now = await client.call_tool("time__get_current_time", {"timezone": "UTC"})
        assert json.loads(now.content[0].text)["timezone"] == "UTC"
        log = await client.call_tool("git__history", {"repo_path": str(folder)})
        assert "first commit" in log.content[0].text
        prompt = await client.get_prompt("summary", {"count": "3"})
        assert prompt.messages[0].content.text == "Sum up the last 3 commits."


async def _git(folder: Path) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    for words in (("init", "-q"), (*identity, "commit", "-q", "--allow-empty", "-m", "first commit")):
        process = await asyncio.create_subprocess_exec("git", "-C", str(folder), *words)
        assert await process.wait() == 0


# How the agent comes and how the server is reached are independent: every way over one of them, two over both.
@pytest.mark.parametrize(
    ("way", "transport"), [*((way, "http") for way in WAYS), ("http-auto", "stdio"), ("http-legacy", "stdio")]
)
async def test_tools_prompts_and_resources_come_through_unchanged(
    stack: Stack, shared: Shared, way: str, transport: str
) -> None:
    organisation, token = await everything_behind(shared, stack, transport)
    async with (
        agent_by(way, stack, organisation, "p", token) as through,
        Client(await everything_url(shared), mode=mode_of(way)) as direct,
    ):
        for method in ("list_tools", "list_prompts", "list_resources", "list_resource_templates"):
            seen, said = await getattr(through, method)(), await getattr(direct, method)()
            ignore = {"ttl_ms", "cache_scope", "meta", "result_type", "next_cursor"}
            assert seen.model_dump(exclude=ignore) == said.model_dump(exclude=ignore), method
        for tool in ("test_simple_text", "test_image_content", "test_audio_content", "test_multiple_content_types"):
            assert (await through.call_tool(tool, {})).content == (await direct.call_tool(tool, {})).content
        for uri in ("test://static-text", "test://static-binary", "test://template/123/data"):
            assert (await through.read_resource(uri)).contents == (await direct.read_resource(uri)).contents
        arguments = {"arg1": "a", "arg2": "b"}
        got = await through.get_prompt("test_prompt_with_arguments", arguments)
        assert got.messages == (await direct.get_prompt("test_prompt_with_arguments", arguments)).messages


@pytest.mark.parametrize("way", WAYS)
async def test_progress_and_logs_come_while_the_call_runs(stack: Stack, way: str) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        seen: list[float] = []

        async def progress(value: float, total: float | None, message: str | None) -> None:
            seen.append(value)

        async with agent_by(way, stack, organisation, "p", token) as client:
            await client.call_tool("progress", {"steps": 5}, progress_callback=progress)
        assert len(seen) == 5
        assert seen == sorted(seen)


@pytest.mark.parametrize("way", WAYS)
async def test_a_connected_agent_is_told_of_a_new_version_and_sees_it(stack: Stack, way: str) -> None:
    async with running("echo") as upstream:
        text = one_server({"url": upstream.url})
        organisation, token = await published(stack, text)
        told = asyncio.Event()

        async def on_message(message: Any) -> None:
            if "list_changed" in str(getattr(message, "method", "")) or "ToolsListChanged" in type(message).__name__:
                told.set()

        async with agent_by(way, stack, organisation, "p", token, message_handler=on_message) as client:
            before = {tool.name for tool in (await client.list_tools()).tools}
            listening = await _listen(client, mode_of(way), told)
            narrower = json.loads(text.replace("ORG", organisation))
            narrower["playbooks"]["p"]["servers"]["up"]["tools"] = {"allow": ["echo"]}
            await stack.apply(json.dumps(narrower), "only echo")
            await asyncio.wait_for(told.wait(), PATIENCE)
            after = {tool.name for tool in (await client.list_tools()).tools}
            if listening is not None:
                listening.cancel()
        assert after == {"echo"} < before


async def _listen(client: Client, mode: str, told: asyncio.Event) -> asyncio.Task[None] | None:
    """In the stateless era an agent opens a subscription; in the other one the GET stream is there already."""
    if mode == "legacy":
        return None
    opened = asyncio.Event()

    async def follow() -> None:
        async with client.listen(tools_list_changed=True) as stream:
            opened.set()
            async for _ in stream:
                told.set()

    task = asyncio.ensure_future(follow())
    await asyncio.wait_for(opened.wait(), PATIENCE)
    return task


async def test_a_session_is_served_by_every_edge_and_gone_everywhere_once_deleted(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json, text/event-stream",
        }
        hello = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        }
        async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE) as http:
            body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
            first = await http.post(stack.endpoint(organisation, "p"), json=body)
            session = {"Mcp-Session-Id": first.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-11-25"}
            listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
            for edge in range(stack.replicas):
                answer = await http.post(stack.endpoint(organisation, "p", edge), json=listing, headers=session)
                assert answer.status_code == 200
                assert answer.json()["result"]["tools"]
            last = stack.endpoint(organisation, "p", stack.replicas - 1)
            assert (await http.delete(last, headers=session)).status_code in (200, 204)

            async def gone() -> bool:
                urls = [stack.endpoint(organisation, "p", edge) for edge in range(stack.replicas)]
                answers = [await http.post(url, json=listing, headers=session) for url in urls]
                return all(answer.status_code == 404 for answer in answers)

            await eventually(gone)


async def test_a_session_does_not_exist_for_another_token(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        other = await stack.token(organisation, "somebody-else")
        url = stack.endpoint(organisation, "p")
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        async with httpx2.AsyncClient(timeout=PATIENCE) as http:
            body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
            first = await http.post(url, json=body, headers={"Authorization": f"Bearer {token}"})
            headers = {"Mcp-Session-Id": first.headers["mcp-session-id"], "Authorization": f"Bearer {other}"}
            listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
            assert (await http.post(url, json=listing, headers=headers)).status_code == 404


async def test_arguments_are_checked_before_anything_is_sent(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        url = any_edge(stack, organisation, "p")
        answer = await stack.rpc(url, "tools/call", {"name": "echo", "arguments": {"text": 7}}, token)
        result = answer.json()["result"]
        assert result["isError"] is True
        assert "text" in result["content"][0]["text"]


async def test_deny_holds_on_call_and_not_only_on_list(stack: Stack) -> None:
    async with running("echo") as upstream:
        body = json.loads(one_server({"url": upstream.url}))
        body["playbooks"]["p"]["servers"]["up"]["tools"] = {"deny": ["mark"]}
        organisation, token = await published(stack, json.dumps(body))
        url = any_edge(stack, organisation, "p")
        answer = await stack.rpc(url, "tools/call", {"name": "mark", "arguments": {"text": "x"}}, token)
        assert answer.json()["error"]["code"] == -32602
        assert answer.json()["error"]["data"]["code"] == "tool.unknown"


async def test_an_error_of_the_upstream_keeps_its_code_message_and_data(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        answer = await stack.rpc(any_edge(stack, organisation, "p"), "tools/call", {"name": "rpc_error"}, token)
        assert answer.json()["error"]["code"] == -32000
        assert answer.json()["error"]["data"] == {"reason": "asked"}
