"""The bridge in front of `/mcp`: every client era over every upstream era, and a gateway that is restarted whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
import pytest_asyncio

from tests.bridge.desktops import Plain, desktop, plain
from tests.support.agents import MODES, one_server, published
from tests.support.callers import ledger_lines
from tests.support.stack import Stack, running_stack
from tests.support.upstreams.launch import running
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
]
ERAS = ("2025", "2026")


async def accept(_: Any, asked: types.ElicitRequestParams) -> types.ElicitResult:
    assert isinstance(asked, types.ElicitRequestFormParams)
    return types.ElicitResult(action="accept", content={name: "Ada" for name in asked.requested_schema["properties"]})


async def sample(_: Any, asked: types.CreateMessageRequestParams) -> types.CreateMessageResult:
    return types.CreateMessageResult(
        role="assistant", content=types.TextContent(text="forty-two"), model="m", stop_reason="endTurn"
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=ERAS)
async def token(stack: Stack, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A token of all playbooks, of which there is one, over an upstream of one era."""
    async with running("everything", "--era", request.param) as upstream:
        _, issued = await published(stack, one_server({"url": upstream.url}))
        yield issued


@pytest.mark.parametrize("mode", MODES)
async def test_an_upstream_of_either_era_asks_and_tells_a_desktop_client_of_either_era(
    stack: Stack, token: str, mode: str
) -> None:
    steps: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    options = {"elicitation_callback": accept, "sampling_callback": sample}
    async with desktop(f"{stack.url}/mcp", token, mode, **options) as client:
        assert client.protocol_version == ("2025-11-25" if mode == "legacy" else "2026-07-28")
        await client.call_tool("p__test_tool_with_progress", {}, progress_callback=on_progress)
        assert steps == [0, 50, 100]
        asked = await client.call_tool("p__test_input_required_result_elicitation", {})
        assert asked.content[0].text == "Hello, Ada!"
        sampled = await client.call_tool("p__test_input_required_result_sampling", {})
        assert "forty-two" in sampled.content[0].text
        called = await client.call_tool("p__test_structured_content", {})
        assert called.structured_content == {"sum": 3}


async def test_a_client_lives_through_a_restart_of_the_whole_gateway(tmp_path: Path) -> None:
    clients: dict[bool, Plain] = {}
    async with AsyncExitStack() as open_ones, running("echo", "--ledger", tmp_path / "ledger") as upstream:
        async with running_stack(tmp_path / "data") as stack:
            _, token = await published(stack, one_server({"url": upstream.url}))
            for modern in (True, False):
                clients[modern] = client = await open_ones.enter_async_context(plain(f"{stack.url}/mcp", token))
                if not modern:
                    await client.open()
                slow = {"name": "p__slow", "arguments": {"seconds": 60, "text": f"slow-{modern}"}}
                client.ask("slow", "tools/call", slow, modern=modern)
            await eventually(lambda: len(ledger_lines(tmp_path / "ledger")) == 2)
        for modern, client in clients.items():
            client.ask("list", "tools/list", modern=modern)
            assert "error" in await client.answer("slow")
        async with running_stack(tmp_path / "data", port=stack.port):
            for modern, client in clients.items():
                assert (await client.answer("list", within=30))["result"]["tools"]
                client.ask("on", "tools/call", {"name": "p__mark", "arguments": {"text": "after"}}, modern=modern)
                assert "result" in await client.answer("on")
                assert client.answers["slow"]["error"]["data"]["code"] in ("call.outcome_unknown", "call.cancelled")
    assert sorted(set(ledger_lines(tmp_path / "ledger")) - {"cancelled:slow-True", "cancelled:slow-False"}) == [
        "after",
        "slow-False",
        "slow-True",
    ]
