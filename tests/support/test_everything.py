"""The conformance fixture answers in both eras, over HTTP and stdio, to the official client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import mcp_types as types
import pytest
from mcp import Client, MCPError
from mcp.client.subscriptions import ResourceUpdated, ToolsListChanged

from tests.support.test_upstreams import MODES, VERSIONS, WAIT, stdio, text_of
from tests.support.upstreams.launch import running

pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
TRANSPORTS = pytest.mark.parametrize("transport", ["http", "stdio"])
WATCHED = "test://watched-resource"


async def accept(context: object, params: types.ElicitRequestParams) -> types.ElicitResult:
    assert isinstance(params, types.ElicitRequestFormParams)
    known: dict[str, str | bool] = {
        "name": "Alice",
        "ok": True,
        "color": "blue",
        "username": "alice",
        "context": "tests",
    }
    fields = params.requested_schema["properties"]
    return types.ElicitResult(action="accept", content={key: known[str(key)] for key in fields if key in known})


async def answer(context: object, params: types.CreateMessageRequestParams) -> types.CreateMessageResult:
    return types.CreateMessageResult(role="assistant", content=types.TextContent(text="Paris"), model="none")


async def list_roots(context: object) -> types.ListRootsResult:
    return types.ListRootsResult(roots=[types.Root(uri="file:///work", name="work")])  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def client(transport: str, mode: str, **options: Any) -> AsyncIterator[Client]:
    """A client that can answer everything, unless told otherwise."""
    able = {"elicitation_callback": accept, "sampling_callback": answer, "list_roots_callback": list_roots}
    async with contextlib.AsyncExitStack() as stack:
        if transport == "stdio":
            target: Any = stdio("everything", "--transport", "stdio")
        else:
            target = (await stack.enter_async_context(running("everything"))).url
        yield await stack.enter_async_context(Client(target, mode=mode, **{**able, **options}))


@TRANSPORTS
@MODES
async def test_every_kind_of_content(transport: str, mode: str) -> None:
    async with client(transport, mode) as everything:
        assert everything.protocol_version == VERSIONS[mode]
        kinds = {}
        for name in ("test_simple_text", "test_image_content", "test_audio_content", "test_embedded_resource"):
            kinds[name] = [block.type for block in (await everything.call_tool(name, {})).content]
        assert list(kinds.values()) == [["text"], ["image"], ["audio"], ["resource"]]
        mixed = await everything.call_tool("test_multiple_content_types", {})
        assert [block.type for block in mixed.content] == ["text", "image", "resource"]
        structured = await everything.call_tool("test_structured_content", {})
        assert structured.structured_content == {"sum": 3}
        assert (await everything.call_tool("test_error_handling", {})).is_error


@TRANSPORTS
@MODES
async def test_questions_reach_the_client(transport: str, mode: str) -> None:
    async with client(transport, mode) as everything:
        expected = {
            "test_sampling": "LLM response: Paris",
            "test_streaming_elicitation": "Hello, Alice!",
            "test_input_required_result_elicitation": "Hello, Alice!",
            "test_input_required_result_sampling": "Paris",
            "test_input_required_result_list_roots": "file:///work",
            "test_input_required_result_request_state": "state-ok, confirmed: True",
            "test_input_required_result_multiple_inputs": "Paris Alice, 1 roots",
            "test_input_required_result_multi_round": "Alice likes blue",
            "test_input_required_result_capabilities": "Answered: greeting, user_name",
        }
        for name, words in expected.items():
            assert text_of(await everything.call_tool(name, {"prompt": "?"})) == words
        prompt = await everything.get_prompt("test_input_required_result_prompt", {})
        assert isinstance(prompt.messages[0].content, types.TextContent)
        assert prompt.messages[0].content.text == "Use this context: tests"


@MODES
async def test_a_capability_that_is_not_declared_is_named(mode: str) -> None:
    async with client("http", mode, sampling_callback=None) as everything:
        with pytest.raises(MCPError) as raised:
            await everything.call_tool("test_missing_capability", {})
        assert raised.value.error.data == {"requiredCapabilities": {"sampling": {}}}
        assert raised.value.error.code == (-32021 if mode == "auto" else -32600)


@TRANSPORTS
@MODES
async def test_logs_and_progress_come_with_the_call(transport: str, mode: str) -> None:
    logs: list[Any] = []
    steps: list[float] = []

    async def on_log(params: types.LoggingMessageNotificationParams) -> None:
        logs.append(params.data)

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    async with client(transport, mode, logging_callback=on_log, log_level="warning") as everything:
        await everything.call_tool("test_tool_with_progress", {}, progress_callback=on_progress)
        if mode == "legacy":
            await everything.set_logging_level("warning")
        await everything.call_tool("test_logging_tool", {})
    assert steps == [0.0, 50.0, 100.0]
    assert logs == ["A message at warning", "A message at error"]


@MODES
async def test_resources_prompts_and_completion(mode: str) -> None:
    async with client("http", mode) as everything:
        assert len((await everything.list_resources()).resources) == 3
        data = await everything.read_resource("test://template/42/data")
        assert isinstance(data.contents[0], types.TextResourceContents)
        assert '"id": "42"' in data.contents[0].text
        picture = await everything.read_resource("test://static-binary")
        assert isinstance(picture.contents[0], types.BlobResourceContents)
        with pytest.raises(MCPError) as raised:
            await everything.read_resource("test://nothing")
        assert raised.value.error.code == (-32602 if mode == "auto" else -32002)
        assert raised.value.error.data == {"uri": "test://nothing"}
        reference = types.PromptReference(name="test_prompt_with_arguments")
        completed = await everything.complete(reference, {"name": "arg1", "value": "par"})
        assert completed.completion.values == ["paris", "park", "party"]


async def test_changes_are_announced_to_subscribers() -> None:
    async with (
        client("http", "auto") as everything,
        everything.listen(tools_list_changed=True, resource_subscriptions=[WATCHED]) as changes,
    ):
        await everything.call_tool("test_trigger_tool_change", {})
        assert await asyncio.wait_for(anext(changes), WAIT) == ToolsListChanged()
        assert "test_dynamic_tool" in {tool.name for tool in (await everything.list_tools()).tools}
        await everything.call_tool("test_trigger_resource_change", {})
        assert await asyncio.wait_for(anext(changes), WAIT) == ResourceUpdated(WATCHED)


@TRANSPORTS
async def test_changes_are_announced_to_sessions(transport: str) -> None:
    arrived: asyncio.Queue[object] = asyncio.Queue()
    async with client(transport, "legacy", message_handler=arrived.put) as everything:
        await everything.subscribe_resource(WATCHED)
        await everything.call_tool("test_trigger_prompt_change", {})
        await everything.call_tool("test_trigger_resource_change", {})
        expected = [types.PromptListChangedNotification, types.ResourceUpdatedNotification]
        for kind in expected:
            assert isinstance(await asyncio.wait_for(arrived.get(), WAIT), kind)


@MODES
async def test_a_stream_that_is_closed_early_is_resumed(mode: str) -> None:
    async with client("http", mode) as everything:
        assert text_of(await everything.call_tool("test_reconnection", {})) == "Reconnection test completed"


@pytest.mark.parametrize(("era", "mode"), [("2025", "legacy"), ("2026", "auto")])
@TRANSPORTS
async def test_one_era_only(transport: str, era: str, mode: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        if transport == "stdio":
            target: Any = stdio("everything", "--transport", "stdio", "--era", era)
        else:
            target = (await stack.enter_async_context(running("everything", "--era", era))).url
        everything = await stack.enter_async_context(Client(target))
        assert everything.protocol_version == VERSIONS[mode]
        assert "test_simple_text" in {tool.name for tool in (await everything.list_tools()).tools}


async def test_a_state_of_another_call_is_refused() -> None:
    async with client("http", "auto") as everything:
        call = everything.session.call_tool
        first = await call("test_input_required_result_request_state", {}, allow_input_required=True)
        assert isinstance(first, types.InputRequiredResult)
        reply: types.InputResponses = {"confirm": types.ElicitResult(action="accept", content={"ok": True})}
        with pytest.raises(MCPError, match="requestState"):
            await call(
                "test_input_required_result_tampered_state",
                {},
                input_responses=reply,
                request_state=first.request_state,
                allow_input_required=True,
            )
