"""The official client starts `callboard bridge` and uses a playbook, in both eras, also while the edge is killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import mcp_types as types
import psutil
import pytest
import pytest_asyncio

from tests.bridge.desktops import desktop, plain
from tests.support.agents import MODES, one_server, published
from tests.support.callers import ledger_lines
from tests.support.carriers import socket_url
from tests.support.stack import Stack
from tests.support.upstreams.launch import Upstream, running
from tests.support.waiting import PATIENCE, eventually

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
]


async def accept(_: Any, asked: types.ElicitRequestParams) -> types.ElicitResult:
    assert isinstance(asked, types.ElicitRequestFormParams)
    return types.ElicitResult(action="accept", content={name: "Ada" for name in asked.requested_schema["properties"]})


CARRIERS = ("http", "ws")


def address(stack: Stack, organisation: str, carrier: str) -> str:
    return stack.endpoint(organisation, "p") if carrier == "http" else socket_url(stack, organisation, "p")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=CARRIERS)
async def everything(stack: Stack, request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, str]]:
    """URL and token of a playbook over the everything server."""
    async with running("everything") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        yield address(stack, organisation, request.param), token


@pytest_asyncio.fixture(params=CARRIERS)
async def echo(
    stack: Stack, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[Upstream, str, str]]:
    """An echo server with a ledger, and URL and token of a playbook over it."""
    async with running("echo", "--ledger", tmp_path / "ledger") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        yield upstream, address(stack, organisation, request.param), token


async def gone(pid: int) -> None:
    """Until the kernel has closed its connections: what is written to a dying process may have been read."""

    def dead() -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    await eventually(dead, every=0.002)


async def restarted(stack: Stack, name: str, killed: int) -> None:
    await eventually(lambda: stack.pids().get(name, killed) != killed)


@pytest.mark.parametrize("mode", MODES)
async def test_a_desktop_client_lists_calls_sees_progress_and_is_asked(everything: tuple[str, str], mode: str) -> None:
    heard: list[Any] = []
    steps: list[float] = []

    async def on_message(message: Any) -> None:
        heard.append(message)

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    async with desktop(*everything, mode, elicitation_callback=accept, message_handler=on_message) as client:
        assert client.protocol_version == ("2025-11-25" if mode == "legacy" else "2026-07-28")
        assert "test_simple_text" in [tool.name for tool in (await client.list_tools()).tools]
        assert (await client.list_prompts()).prompts
        called = await client.call_tool("test_structured_content", {})
        assert called.structured_content == {"sum": 3}
        await client.call_tool("test_tool_with_progress", {}, progress_callback=on_progress)
        assert steps == [0, 50, 100]
        asked = await client.call_tool("test_input_required_result_elicitation", {})
        assert asked.content[0].text == "Hello, Ada!"
        found = await client.read_resource("test://watched-resource")
        assert found.contents
    assert not [message for message in heard if isinstance(message, Exception)]


async def test_arguments_travel_in_headers_too_before_and_after_the_client_listed_them(
    everything: tuple[str, str],
) -> None:
    arguments = {"region": "Zürich", "nested": {"flag": True}, "priority": 3}
    async with plain(*everything) as client:
        client.ask("x", "tools/list")
        tools = (await client.answer("x"))["result"]["tools"]
        schema = next(tool for tool in tools if tool["name"] == "test_x_mcp_header")["inputSchema"]
        known = {key: value for key, value in arguments.items() if key in schema["properties"]}
        client.ask(1, "tools/call", {"name": "test_x_mcp_header", "arguments": known})
        assert "result" in await client.answer(1)
    async with plain(*everything) as client:
        client.ask(1, "tools/call", {"name": "test_x_mcp_header", "arguments": known})
        assert "result" in await client.answer(1)


@pytest.mark.parametrize("mode", MODES)
async def test_a_desktop_client_hears_of_changed_lists_and_resources(everything: tuple[str, str], mode: str) -> None:
    lists, updates = asyncio.Event(), asyncio.Event()

    async def on_message(message: Any) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            lists.set()
        elif isinstance(message, types.ResourceUpdatedNotification):
            updates.set()

    async with desktop(*everything, mode, message_handler=on_message) as client:
        opened = asyncio.Event()
        following = asyncio.ensure_future(follow(client, mode, opened, lists, updates))
        await asyncio.wait_for(opened.wait(), PATIENCE)
        async with asyncio.timeout(PATIENCE):
            while not (lists.is_set() and updates.is_set()):
                await client.call_tool("test_trigger_tool_change", {})
                await client.call_tool("test_trigger_resource_change", {})
                await asyncio.wait({asyncio.ensure_future(updates.wait())}, timeout=0.3)
        following.cancel()


async def follow(client: Any, mode: str, opened: asyncio.Event, lists: asyncio.Event, updates: asyncio.Event) -> None:
    if mode == "legacy":
        await client.subscribe_resource("test://watched-resource")
        opened.set()
        return
    async with client.listen(tools_list_changed=True, resource_subscriptions=["test://watched-resource"]) as stream:
        opened.set()
        async for news in stream:
            (updates if "Resource" in type(news).__name__ else lists).set()


@pytest.mark.parametrize("modern", [True, False], ids=["stateless", "handshake"])
async def test_a_call_that_the_client_gives_up_is_cancelled_upstream(
    echo: tuple[Upstream, str, str], tmp_path: Path, modern: bool
) -> None:
    async with plain(*echo[1:]) as client:
        if not modern:
            await client.open()
        client.ask(7, "tools/call", {"name": "slow", "arguments": {"seconds": 60, "text": "long"}}, modern=modern)
        await eventually(lambda: ledger_lines(tmp_path / "ledger") == ["long"])
        client.tell("notifications/cancelled", requestId=7, reason="enough")
        await eventually(lambda: "cancelled:long" in ledger_lines(tmp_path / "ledger"))
        client.ask(8, "tools/call", {"name": "echo", "arguments": {"text": "on"}}, modern=modern)
        assert "result" in await client.answer(8)
        assert modern is (7 not in client.answers) or "error" in client.answers.get(7, {"error": 0})


@pytest.mark.parametrize("mode", MODES)
async def test_a_desktop_client_lives_through_a_restart_of_the_edge(
    stack: Stack, echo: tuple[Upstream, str, str], mode: str
) -> None:
    async with desktop(*echo[1:], mode) as client:
        assert (await client.call_tool("echo", {"text": "before"})).content[0].text == "before"
        killed = stack.kill("edge")
        await gone(killed)
        meanwhile = [client.call_tool("echo", {"text": f"{number}"}) for number in range(5)]
        listed, *called = await asyncio.wait_for(asyncio.gather(client.list_tools(), *meanwhile), PATIENCE)
        assert [tool.name for tool in listed.tools]
        assert [answer.content[0].text for answer in called] == ["0", "1", "2", "3", "4"]
        await restarted(stack, "edge", killed)
        await stack.ready(30)


@pytest.mark.parametrize("modern", [True, False], ids=["stateless", "handshake"])
@pytest.mark.parametrize("name", ["router", "authsvc"])
async def test_what_reads_waits_for_a_service_that_restarts(
    stack: Stack, echo: tuple[Upstream, str, str], name: str, modern: bool
) -> None:
    async with plain(*echo[1:]) as client:
        if not modern:
            await client.open()
        killed = stack.kill(name)
        await gone(killed)
        client.ask(1, "tools/list", modern=modern)
        assert "result" in await client.answer(1, within=30)
        await restarted(stack, name, killed)
    await stack.ready(30)


async def test_an_upstream_that_wants_to_be_polled_is_polled_by_the_bridge(stack: Stack) -> None:
    async with running("everything", "--era", "2025") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        async with desktop(stack.endpoint(organisation, "p"), token, "legacy") as client:
            answer = await client.call_tool("test_reconnection", {})
            assert answer.content[0].text == "Reconnection test completed"


@pytest.mark.parametrize("modern", [True, False], ids=["stateless", "handshake"])
async def test_a_call_cut_off_by_a_kill_is_told_as_unknown_and_never_sent_again(
    stack: Stack, echo: tuple[Upstream, str, str], tmp_path: Path, modern: bool
) -> None:
    async with plain(*echo[1:]) as client:
        if modern:
            client.ask("listen", "subscriptions/listen", {"notifications": {"toolsListChanged": True}})
            await client.heard("notifications/subscriptions/acknowledged")
        else:
            await client.open()
        client.ask(1, "tools/call", {"name": "slow", "arguments": {"seconds": 3, "text": "once"}}, modern=modern)
        await eventually(lambda: ledger_lines(tmp_path / "ledger")[:1] == ["once"])
        killed = stack.kill("edge")
        error = (await client.answer(1))["error"]
        assert error["data"]["code"] == "call.outcome_unknown"
        client.ask(2, "tools/call", {"name": "mark", "arguments": {"text": "after"}}, modern=modern)
        assert "result" in await client.answer(2, within=30)
        await client.heard("notifications/tools/list_changed", within=30)
        if modern:
            (told,) = [one for one in client.notifications if one["method"].endswith("list_changed")]
            assert told["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": "listen"}
            assert sum(one["method"].endswith("acknowledged") for one in client.notifications) == 1
        await restarted(stack, "edge", killed)
        await stack.ready(30)
    lines = ledger_lines(tmp_path / "ledger")
    assert [lines.count("once"), lines.count("after")] == [1, 1]


async def test_many_and_large_calls_are_in_flight_at_once(echo: tuple[Upstream, str, str]) -> None:
    async with plain(*echo[1:]) as client:
        client.ask("big", "tools/call", {"name": "big", "arguments": {"bytes": 5_000_000}})
        for number in range(150):
            client.ask(number, "tools/call", {"name": "echo", "arguments": {"text": f"text {number}"}})
        for number in range(150):
            assert (await client.answer(number))["result"]["content"][0]["text"] == f"text {number}"
        assert len((await client.answer("big"))["result"]["content"][0]["text"]) == 5_000_000


@pytest.mark.parametrize("modern", [True, False], ids=["stateless", "handshake"])
async def test_a_wrong_token_is_told_to_the_client_and_on_stderr(everything: tuple[str, str], modern: bool) -> None:
    async with plain(everything[0], "cbk_wrong") as client:
        client.ask(1, "server/discover" if modern else "initialize", modern=modern)
        error = (await client.answer(1))["error"]
        assert error["data"]["code"] == "auth.invalid"
        await client.until(lambda: b"refused the token (HTTP 401)" in client.errors)
        assert b"cbk_wrong" not in client.errors
        assert client.faults == []


async def test_the_token_of_a_data_directory_goes_only_to_its_own_callboard(
    stack: Stack, everything: tuple[str, str]
) -> None:
    async with plain(everything[0], "", "--data-dir", str(stack.directory)) as client:
        client.ask(1, "tools/list")
        assert "result" in await client.answer(1)
    async with plain("http://127.0.0.1:1/mcp", "", "--data-dir", str(stack.directory)) as client:
        assert await client.close() == 2
        assert b"is not the data directory" in client.errors


@pytest.mark.parametrize(("era", "mode"), [("both", "auto"), ("both", "legacy"), ("2025", "auto"), ("2026", "auto")])
async def test_any_streamable_http_endpoint_will_do(era: str, mode: str) -> None:
    async with (
        running("everything", "--era", era) as upstream,
        desktop(upstream.url, "", mode, elicitation_callback=accept) as client,
    ):
        called = await client.call_tool("test_input_required_result_elicitation", {})
        assert called.content[0].text == "Hello, Ada!"
        if client.protocol_version == "2025-11-25":
            resumed = await client.call_tool("test_reconnection", {})
            assert resumed.content[0].text == "Reconnection test completed"
