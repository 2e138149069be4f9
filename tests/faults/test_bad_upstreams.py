"""An upstream that misbehaves spoils nothing but itself, and the error names it and says what to do."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.names import fresh
from tests.support.stack import Stack, running_stack
from tests.support.upstreams.launch import Upstream, command, running
from tests.support.waiting import Stalls, eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("bad-upstreams")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    # An apply looks that long at servers that never answer; the test need not wait for all of it.
    settings = {"CALLBOARD_ROUTER_PROBE_WAIT": "5"}
    async with running_stack(tmp_path_factory.mktemp("bad") / "data", settings=settings) as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def faulty() -> AsyncIterator[Upstream]:
    async with running("faulty") as upstream:
        yield upstream


async def beside_a_good_one(stack: Stack, bad: dict[str, Any], good: str) -> tuple[str, str]:
    """A playbook with the bad server and a good one: (endpoint, token)."""
    organisation = fresh("org")
    servers = {"bad": {"deadline_seconds": 3, **bad}, "good": {"url": good}}
    text = {
        "version": 1,
        "organisation": organisation,
        "servers": servers,
        "playbooks": {"p": {"servers": {"bad": {}, "good": {}}}},
    }
    await stack.apply(json.dumps(text))
    return stack.endpoint(organisation, "p"), await stack.token(organisation)


async def the_good_one_works(stack: Stack, url: str, token: str) -> None:
    async with Stalls() as watch:
        answer = await stack.rpc(url, "tools/call", {"name": "good__echo", "arguments": {"text": "still here"}}, token)
        assert answer.json()["result"]["content"][0]["text"] == "still here"
        assert watch.elapsed < 5


NEVER = ("garbage", "500", "endless", "endless-body", "hang")


async def test_servers_that_never_work_hide_only_their_own_tools(stack: Stack, faulty: Upstream) -> None:
    organisation = fresh("org")
    async with running("echo") as good:
        servers = {mode: {"url": faulty.at(f"/mode/{mode}")} for mode in NEVER} | {"good": {"url": good.url}}
        text = {
            "version": 1,
            "organisation": organisation,
            "servers": servers,
            "playbooks": {"p": {"servers": {name: {} for name in servers}}},
        }
        await stack.apply(json.dumps(text))
        url, token = stack.endpoint(organisation, "p"), await stack.token(organisation)
        await the_good_one_works(stack, url, token)
        tools = (await stack.rpc(url, "tools/list", token=token)).json()["result"]["tools"]
        assert {tool["name"].split("__")[0] for tool in tools} == {"good"}

        async def explained() -> bool:
            status = await stack.cli_json("status")
            lines = [s for i in status["instances"] for s in i.get("servers", []) if s["organisation"] == organisation]
            away = {s["server"] for s in lines if s["state"] in ("OFFLINE", "DEGRADED") and s["problem"]}
            return away == set(NEVER)

        await eventually(explained, every=0.5)
        await the_good_one_works(stack, url, token)


async def test_a_missing_server_is_named_with_what_to_do(stack: Stack) -> None:
    async with running("echo") as good:
        async with running("echo") as gone:
            url, token = await beside_a_good_one(stack, {"url": gone.url}, good.url)
            await stack.rpc(url, "tools/call", {"name": "bad__echo", "arguments": {"text": "x"}}, token)
        answer = await stack.rpc(url, "tools/call", {"name": "bad__echo", "arguments": {"text": "x"}}, token)
        error = answer.json()["error"]
        assert error["data"]["code"] == "server.unavailable"
        assert "bad" in error["message"]
        assert error["data"]["hint"]
        await the_good_one_works(stack, url, token)


@pytest.mark.parametrize("mode", ["garbage/call", "500/call", "wrong-id", "drop-mid-call", "drop-silent", "hang/call"])
async def test_a_call_that_fails_upstream_ends_with_an_error_that_names_the_server(
    stack: Stack, faulty: Upstream, mode: str
) -> None:
    async with running("echo") as good:
        url, token = await beside_a_good_one(stack, {"url": faulty.at(f"/mode/{mode}")}, good.url)
        began = time.monotonic()
        slow, _ = await asyncio.gather(
            stack.rpc(url, "tools/call", {"name": "bad__ping"}, token, timeout=70),
            the_good_one_works(stack, url, token),
        )
        error = slow.json()["error"]
        assert slow.status_code < 500
        assert "bad" in error["message"] or error["data"].get("server") == "bad", error
        assert error["data"]["code"] in (
            "server.unavailable",
            "server.invalid_answer",
            "call.outcome_unknown",
            "call.deadline_exceeded",
        )
        assert time.monotonic() - began < 10
        await the_good_one_works(stack, url, token)


async def test_a_result_of_20_megabytes_comes_whole_or_is_refused_by_name(stack: Stack, faulty: Upstream) -> None:
    async with running("echo") as good:
        url, token = await beside_a_good_one(stack, {"url": faulty.at("/mode/huge")}, good.url)
        answer = (await stack.rpc(url, "tools/call", {"name": "bad__ping"}, token, timeout=60)).json()
        if "error" in answer:
            assert "bad" in answer["error"]["message"]
        else:
            assert len(answer["result"]["content"][0]["text"]) > 20_000_000
        await the_good_one_works(stack, url, token)


async def test_an_invalid_schema_quarantines_that_tool_only_and_the_status_says_so(
    stack: Stack, faulty: Upstream
) -> None:
    async with running("echo") as good:
        url, token = await beside_a_good_one(stack, {"url": faulty.at("/mode/invalid-schema")}, good.url)
        tools = (await stack.rpc(url, "tools/list", token=token)).json()["result"]["tools"]
        assert "bad__ping" in {tool["name"] for tool in tools}
        pong = await stack.rpc(url, "tools/call", {"name": "bad__ping"}, token)
        assert pong.json()["result"]["content"][0]["text"] == "pong"
        organisation = url.split("/")[4]
        listed = await stack.cli_json("server", "ls", "--org", organisation)
        (line,) = [server for server in listed["servers"] if server["server"] == "bad"]
        assert line["quarantined"]
        assert not set(line["quarantined"]) & {tool["name"].removeprefix("bad__") for tool in tools}


async def test_a_lost_session_is_opened_again_and_the_caller_does_not_notice(stack: Stack, faulty: Upstream) -> None:
    async with running("echo") as good:
        url, token = await beside_a_good_one(stack, {"url": faulty.at("/mode/lost-session?calls=2")}, good.url)
        for _ in range(7):
            answer = await stack.rpc(url, "tools/call", {"name": "bad__ping"}, token)
            assert answer.json()["result"]["content"][0]["text"] == "pong"


async def test_a_stdio_server_that_crashes_mid_call_comes_back(stack: Stack) -> None:
    async with running("echo") as good:
        url, token = await beside_a_good_one(stack, {"command": command("crash")}, good.url)
        first = (await stack.rpc(url, "tools/call", {"name": "bad__pid"}, token)).json()
        pid = first["result"]["content"][0]["text"]
        error = (await stack.rpc(url, "tools/call", {"name": "bad__crash"}, token)).json()["error"]
        assert error["data"]["code"] == "call.outcome_unknown"
        assert "bad" in error["message"]

        async def another() -> bool:
            answer = (await stack.rpc(url, "tools/call", {"name": "bad__pid"}, token)).json()
            return "result" in answer and answer["result"]["content"][0]["text"] != pid

        await eventually(another, every=0.1)
        await the_good_one_works(stack, url, token)


async def test_a_stdio_server_gets_a_clean_environment(stack: Stack) -> None:
    async with running("echo") as good:
        bad = {"command": command("crash"), "env": {"GIVEN": "yes"}}
        url, token = await beside_a_good_one(stack, bad, good.url)
        answer = (await stack.rpc(url, "tools/call", {"name": "bad__env"}, token)).json()
        names = answer["result"]["content"][0]["text"]
        assert "GIVEN" in names
        assert "CALLBOARD" not in names


@pytest.mark.parametrize("carrier", ["sse", "websocket"])
async def test_a_pipe_that_carries_garbage_hides_only_its_own_tools(stack: Stack, carrier: str) -> None:
    async with running("echo") as good, running("faulty_pipes", "--transport", carrier) as bad:
        modes = ("garbage", "hang", "speechless") if carrier == "sse" else ("garbage", "hang")
        servers = {mode: {"url": _pipe(bad, carrier, mode)} for mode in modes} | {"good": {"url": good.url}}
        organisation = fresh("org")
        text = {
            "version": 1,
            "organisation": organisation,
            "servers": servers,
            "playbooks": {"p": {"servers": {name: {} for name in servers}}},
        }
        await stack.apply(json.dumps(text))
        url, token = stack.endpoint(organisation, "p"), await stack.token(organisation)
        await the_good_one_works(stack, url, token)
        tools = (await stack.rpc(url, "tools/list", token=token)).json()["result"]["tools"]
        assert {tool["name"].split("__")[0] for tool in tools} == {"good"}

        async def explained() -> bool:
            status = await stack.cli_json("status")
            lines = [s for i in status["instances"] for s in i.get("servers", []) if s["organisation"] == organisation]
            return {s["server"] for s in lines if s["state"] == "OFFLINE" and s["problem"]} == set(modes)

        await eventually(explained, within=40, every=0.5)
        await the_good_one_works(stack, url, token)


@pytest.mark.parametrize("carrier", ["sse", "websocket"])
@pytest.mark.parametrize("mode", ["garbage-call", "cut", "nag"])
async def test_a_pipe_that_fails_in_a_call_names_the_server_and_comes_back(
    stack: Stack, carrier: str, mode: str
) -> None:
    async with running("echo") as good, running("faulty_pipes", "--transport", carrier) as bad:
        url, token = await beside_a_good_one(stack, {"url": _pipe(bad, carrier, mode)}, good.url)
        answer, _ = await asyncio.gather(
            stack.rpc(url, "tools/call", {"name": "bad__ping"}, token), the_good_one_works(stack, url, token)
        )
        if mode == "nag":
            assert answer.json()["result"]["content"][0]["text"] == "pong"
            return
        error = answer.json()["error"]
        assert error["data"]["code"] == "call.outcome_unknown"
        assert "bad" in error["message"]

        async def online() -> bool:
            status = await stack.cli_json("status")
            lines = [s for i in status["instances"] for s in i.get("servers", []) if s["server"] == "bad"]
            ours = [line for line in lines if line["organisation"] == url.split("/")[4]]
            return any((line["state"], line["transport"]) == ("ONLINE", carrier) for line in ours)

        await eventually(online, every=0.3)
        await the_good_one_works(stack, url, token)


def _pipe(upstream: Upstream, carrier: str, mode: str) -> str:
    return f"ws://127.0.0.1:{upstream.port}/{mode}" if carrier == "websocket" else upstream.at(f"/sse/{mode}")
