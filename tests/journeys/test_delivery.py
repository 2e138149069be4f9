"""What an upstream says by itself reaches the agent that asked for it, in whatever era each side speaks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import published
from tests.support.speaker import ERAS, Heard, Speaker, speaker
from tests.support.stack import Stack
from tests.support.telling import Telling, playbook_of, telling, tool
from tests.support.waiting import PATIENCE, eventually

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.parametrize("client", ERAS),
    pytest.mark.parametrize("upstream", ERAS),
    pytest.mark.parametrize("transport", ["http", "stdio"]),
]
LEVEL = "io.modelcontextprotocol/logLevel"
OWN = [tool("emit"), tool("say")]
WATCHED, OTHER = "x://watched", "x://other"
RESOURCES = [{"uri": uri, "name": "r"} for uri in (WATCHED, OTHER)]
SCRIPT: dict[str, Any] = {"tools/list": {"tools": OWN}, "resources/list": {"resources": RESOURCES}}


@asynccontextmanager
async def connected(
    stack: Stack, folder: Path, client: str, upstream: str, transport: str
) -> AsyncIterator[tuple[Speaker, Telling]]:
    async with telling(folder, SCRIPT, transport, upstream) as told:
        text = playbook_of({"up": told.server}, {"up": {"names": "none"}})
        organisation, token = await published(stack, text)
        async with speaker(stack, organisation, token, client) as agent:
            yield agent, told


async def emit(agent: Speaker, method: str, **params: Any) -> None:
    heard = await agent.call("emit", {"method": method, "params": params})
    assert heard.text == "emitted"


def told_of(stream: Heard, method: str) -> int:
    return len(stream.notified(f"notifications/{method}"))


async def test_a_watched_resource_and_no_other(
    stack: Stack, client: str, upstream: str, transport: str, tmp_path: Path
) -> None:
    async with (
        connected(stack, tmp_path, client, upstream, transport) as (agent, told),
        agent.listening([WATCHED]) as stream,
    ):
        # The interest travels from the edge to whoever holds the server.
        asked = "resources/subscribe" if upstream == "2025" else "subscriptions/listen"
        await eventually(lambda: any(WATCHED in str(line["params"]) for line in told.seen(asked)))
        await emit(agent, "notifications/resources/updated", uri=OTHER)
        await emit(agent, "notifications/resources/updated", uri=WATCHED)
        await eventually(lambda: told_of(stream, "resources/updated") > 0)
        assert {said["uri"] for said in stream.notified("notifications/resources/updated")} == {WATCHED}
        if client == "2025":
            assert (await agent.ask("resources/unsubscribe", uri=WATCHED)).result == {}
            await emit(agent, "notifications/resources/updated", uri=WATCHED)
            told.tell(**{"prompts/list": {"prompts": [{"name": "p"}]}})
            await emit(agent, "notifications/prompts/list_changed")
            await eventually(lambda: told_of(stream, "prompts/list_changed") == 1)
            assert told_of(stream, "resources/updated") == 1


async def test_each_kind_of_list_that_changed_and_no_other(
    stack: Stack, client: str, upstream: str, transport: str, tmp_path: Path
) -> None:
    changes = {
        "tools": {"tools/list": {"tools": [*OWN, tool("more")]}},
        "prompts": {"prompts/list": {"prompts": [{"name": "more"}]}},
        "resources": {"resources/list": {"resources": [*RESOURCES, {"uri": "x://more", "name": "r"}]}},
    }
    async with (
        connected(stack, tmp_path, client, upstream, transport) as (agent, told),
        agent.listening() as stream,
    ):
        for done, (kind, change) in enumerate(changes.items(), 1):
            told.tell(**change)
            await emit(agent, f"notifications/{kind}/list_changed")
            await eventually(lambda kind=kind: told_of(stream, f"{kind}/list_changed") == 1)
            counts = [told_of(stream, f"{each}/list_changed") for each in changes]
            assert counts == [1] * done + [0] * (3 - done)
            listed = (await agent.ask(f"{kind}/list")).result[kind]
            assert any("more" in str(item) for item in listed)


async def test_log_messages_from_the_level_of_the_session_or_request_on(
    stack: Stack, client: str, upstream: str, transport: str, tmp_path: Path
) -> None:
    async with connected(stack, tmp_path, client, upstream, transport) as (agent, _):

        async def hears(level: str, wanted: str, expected: bool) -> None:
            meta = {LEVEL: wanted} if client == "2026" and wanted else {}
            if client == "2025":
                assert (await agent.ask("logging/setLevel", level=wanted)).result == {}

            async def heard() -> bool:
                said = await agent.call("say", {"level": level}, _meta=meta)
                assert said.text == "said"
                levels = [message["level"] for message in said.notified("notifications/message")]
                return levels == ([level] if expected else [])

            # A request brings its level with it; that of a session is on its way to the other edges.
            await eventually(heard, within=0 if client == "2026" else PATIENCE)

        if client == "2026":
            await hears("emergency", "", False)
        for level, wanted, expected in (
            ("warning", "warning", True),
            ("notice", "warning", False),
            ("debug", "debug", True),
            ("debug", "error", False),
            ("critical", "error", True),
        ):
            await hears(level, wanted, expected)
