"""Which client is served which version: pins, from the command line, the API and the agents' side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client, types

from tests.support.agents import MODES, agent
from tests.support.names import fresh
from tests.support.stack import Stack
from tests.support.upstreams.launch import running
from tests.support.waiting import PATIENCE, eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

FILE = """\
version: 1
organisation: {organisation}
servers:
  echo: {{url: "{url}"}}
playbooks:
  start:
    servers:
      echo: {{tools: {{allow: {allow}}}}}
  other:
    servers:
      echo: {{names: bare, tools: {{allow: [echo]}}}}
"""
ONE, TWO = '["echo"]', '["mark"]'


async def two_versions(stack: Stack, url: str) -> str:
    """An organisation whose playbook `start` shows `echo` in version 1 and `mark` in version 2."""
    organisation = fresh("org")
    await stack.apply(FILE.format(organisation=organisation, url=url, allow=ONE))
    await stack.apply(FILE.format(organisation=organisation, url=url, allow=TWO))
    return organisation


async def tools(url: str, token: str, stack: Stack) -> list[str]:
    answer = await stack.rpc(url, "tools/list", {}, token)
    return [tool["name"] for tool in answer.json()["result"]["tools"]]


async def everywhere(stack: Stack, organisation: str, token: str, expected: list[str], suffix: str = "") -> None:
    """Every edge and, asked often enough, every router answers so: one knows what the other appended a moment later."""

    async def seen() -> bool:
        urls = [stack.endpoint(organisation, f"start{suffix}", edge) for edge in range(stack.replicas)] * 4
        return all([await tools(url, token, stack) == expected for url in urls])

    await eventually(seen)


async def test_a_pinned_client_is_served_its_version_and_nobody_else_is(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = await two_versions(stack, upstream.url)
        name = f"{organisation}/start"
        ann, bob = await stack.token(organisation, "ann"), await stack.token(organisation, "bob")
        done = await stack.cli_json("playbook", "pin", name, "ann", "@1", "-m", "not ready yet")
        assert done["seq"] > 0
        await everywhere(stack, organisation, ann, ["echo__echo"])
        await everywhere(stack, organisation, bob, ["echo__mark"])
        await everywhere(stack, organisation, ann, ["echo__mark"], "@2")

        call = {"name": "echo__echo", "arguments": {"text": "x"}}
        answered = await stack.rpc(stack.endpoint(organisation, "start"), "tools/call", call, ann)
        assert "error" not in answered.json()
        refused = await stack.rpc(stack.endpoint(organisation, "start"), "tools/call", call, bob)
        assert "Unknown tool" in refused.text

        async def recorded() -> Any:
            found = (await stack.cli_json("calls", "ls", "--org", organisation))["calls"]
            return next((call for call in found if call["client"] == "ann"), None)

        assert (await eventually(recorded))["version"] == 1

        await stack.apply(FILE.format(organisation=organisation, url=upstream.url, allow='["*"]'))
        await everywhere(stack, organisation, ann, ["echo__echo"])
        await stack.cli("playbook", "unpin", name, "ann", "-m", "ready")
        newest = await tools(stack.endpoint(organisation, "start"), bob, stack)
        assert len(newest) > 1
        await everywhere(stack, organisation, ann, newest)
        assert (await stack.cli_json("playbook", "unpin", name, "ann", "-m", "ready"))["seq"] == 0


async def test_the_endpoint_without_a_playbook_serves_a_pinned_client_its_version_too(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = await two_versions(stack, upstream.url)
        await stack.cli("playbook", "pin", f"{organisation}/start", "ann", "@1", "-m", "why")
        ann, bob = await stack.token(organisation, "ann"), await stack.token(organisation, "bob")
        alone = await stack.token(organisation, "ann", "--playbook", "start")

        async def served() -> bool:
            return (
                await tools(f"{stack.url}/mcp", ann, stack) == ["other__echo", "start__echo__echo"]
                and await tools(f"{stack.url}/mcp", bob, stack) == ["other__echo", "start__echo__mark"]
                and await tools(f"{stack.url}/mcp", alone, stack) == ["echo__echo"]
            )

        for _ in range(4):
            await eventually(served)
        call = {"name": "start__echo__echo", "arguments": {"text": "x"}}
        assert "error" not in (await stack.rpc(f"{stack.url}/mcp", "tools/call", call, ann)).json()
        assert "Unknown tool" in (await stack.rpc(f"{stack.url}/mcp", "tools/call", call, bob)).text


@pytest.mark.parametrize("mode", MODES)
async def test_a_listening_client_hears_when_it_is_pinned_and_others_do_not(stack: Stack, mode: str) -> None:
    async with running("echo") as upstream:
        organisation = await two_versions(stack, upstream.url)
        url, name = stack.endpoint(organisation, "start"), f"{organisation}/start"
        tokens = {client: await stack.token(organisation, client) for client in ("ann", "bob")}
        async with (
            following(url, tokens["ann"], mode) as (ann, to_ann),
            following(url, tokens["bob"], mode) as (_, to_bob),
        ):
            await stack.cli("playbook", "pin", name, "ann", "@1", "-m", "why")
            await eventually(lambda: len(to_ann) == 1)
            assert [tool.name for tool in (await ann.list_tools()).tools] == ["echo__echo"]
            await stack.cli("playbook", "pin", name, "bob", "@1", "-m", "why")
            await eventually(lambda: len(to_bob) == 1)
            await stack.cli("playbook", "unpin", name, "ann", "-m", "why")
            await eventually(lambda: len(to_ann) == 2)
            assert len(to_bob) == 1


@pytest.mark.parametrize("mode", MODES)
async def test_a_listener_at_a_fixed_version_is_not_told_of_others(stack: Stack, mode: str) -> None:
    async with running("echo") as upstream:
        organisation = await two_versions(stack, upstream.url)
        token = await stack.token(organisation)
        plain, fixed = (stack.endpoint(organisation, f"start{suffix}") for suffix in ("", "@1"))
        async with following(plain, token, mode) as (_, told), following(fixed, token, mode) as (_, told_fixed):
            await stack.apply(FILE.format(organisation=organisation, url=upstream.url, allow='["*"]'))
            await eventually(lambda: len(told) == 1)
            await stack.cli("playbook", "undo", f"{organisation}/start", "-m", "why")
            await eventually(lambda: len(told) == 2)
        assert told_fixed == []


@asynccontextmanager
async def following(url: str, token: str, mode: str) -> AsyncIterator[tuple[Client, list[object]]]:
    """A client that knows its tools, and what it is told of their list from then on."""
    told: list[object] = []
    hear = told.append
    opened = asyncio.Event()

    async def on_message(message: Any) -> None:
        if mode == "legacy" and isinstance(message, types.ToolListChangedNotification):
            hear(message)

    async with agent(url, token, mode, message_handler=on_message) as client:
        await client.list_tools()

        async def listen() -> None:
            async with client.listen(tools_list_changed=True) as stream:
                opened.set()
                async for change in stream:
                    hear(change)

        if mode == "legacy":
            yield client, told
            return
        listening = asyncio.ensure_future(listen())
        await asyncio.wait_for(opened.wait(), PATIENCE)
        yield client, told
        listening.cancel()


async def test_pins_are_shown_where_one_looks_and_their_events_are_public(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = await two_versions(stack, upstream.url)
        name = f"{organisation}/start"
        await stack.cli("playbook", "pin", name, "ann", "@1", "-m", "not ready yet")
        pins = (await stack.cli_json("playbook", "pins", name))["pins"]
        assert [(pin["client"], pin["version"], pin["comment"]) for pin in pins] == [("ann", 1, "not ready yet")]
        assert (await stack.cli_json("playbook", "pins", "--org", organisation))["pins"] == pins
        _, out, _ = await stack.cli("playbook", "show", f"{name}@1")
        assert "serves client ann, pinned by " in out
        _, out, _ = await stack.cli("playbook", "show", name)
        assert "ann" not in out
        _, out, _ = await stack.cli("playbook", "history", name)
        assert "  ann  " in out.splitlines()[2]
        events = (await stack.cli_json("events", "ls", "--org", organisation))["events"]
        assert events[-1]["event"] == {
            "type": "playbook.client_pinned",
            "playbook": "start",
            "client": "ann",
            "version": 1,
        }
        await stack.cli("playbook", "rm", name, "-m", "gone")
        assert (await stack.cli_json("playbook", "pins", "--org", organisation))["pins"] == []


async def test_a_pin_is_refused_with_a_reason(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = await two_versions(stack, upstream.url)
        name = f"{organisation}/start"
        code, _, err = await stack.cli("playbook", "pin", name, "ann", "@9", "-m", "why", ok=False)
        assert (code, "has no version 9; the newest is 2" in err) == (1, True)
        code, _, err = await stack.cli("playbook", "pin", name, "ann", "one", "-m", "why", ok=False)
        assert (code, "write it like @3" in err) == (2, True)
        reader = await stack.token(organisation, "reader", "--scope", "read")
        base = f"{stack.url}/api/v1/organisations/{organisation}/playbooks/start/pins"
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {reader}"}) as http:
            assert (await http.get(base)).json()["pins"] == []
            assert (await http.put(f"{base}/ann", json={"version": 1, "comment": "x"})).status_code == 403


async def test_a_server_that_a_pinned_client_still_uses_is_not_forgotten(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = await two_versions(stack, upstream.url)
        name = f"{organisation}/start"
        await stack.cli("playbook", "pin", name, "ann", "@1", "-m", "why")
        without = "version: 1\norganisation: {}\nplaybooks: {{start: {{prompts: {{hi: {{template: hi}}}}}}}}\n"
        pruned = await stack.apply(without.format(organisation), "prune", "--prune")
        assert {line["subject"]: line["action"] for line in pruned["plan"]}["server echo"] == "left_alone"
        code, _, err = await stack.cli("server", "rm", f"{organisation}/echo", "-m", "gone", ok=False)
        assert (code, "server.in_use" in err) == (1, True)
        ann = await stack.token(organisation, "ann")
        await everywhere(stack, organisation, ann, ["echo__echo"])
