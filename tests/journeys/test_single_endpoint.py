"""`/mcp`: one URL for everybody, and what is there follows from the token."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp import Client

from tests.journeys.test_inspector import inspect
from tests.journeys.test_streams import Stream, session_of
from tests.support.agents import MODES, agent, published
from tests.support.stack import META, Stack
from tests.support.upstreams.launch import running
from tests.support.waiting import PATIENCE, eventually, promised

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
]
CAPABLE = {**META, "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}}


def single(stack: Stack, edge: int | None = None) -> str:
    """The one URL, at any edge."""
    return f"{stack.urls[random.randrange(stack.replicas) if edge is None else edge]}/mcp"


def file(servers: dict[str, str], **playbooks: dict[str, Any]) -> str:
    """Playbooks (name -> server -> its use) over servers (name -> URL)."""
    body = {
        "version": 1,
        "organisation": "ORG",
        "servers": {name: {"url": url} for name, url in servers.items()},
        "playbooks": {name: {"servers": uses} for name, uses in playbooks.items()},
    }
    return json.dumps(body)


def over(echo: str, everything: str) -> str:
    """Two playbooks that share a server and one that has another."""
    bare = {"names": "bare"}
    return file(
        {"echo": echo, "every": everything},
        full={"echo": bare},
        only={"echo": {**bare, "tools": {"allow": ["echo"]}}},
        rich={"every": bare},
    )


async def names(stack: Stack, token: str, edge: int | None = None) -> set[str]:
    answer = await stack.rpc(single(stack, edge), "tools/list", {}, token)
    return {tool["name"] for tool in answer.json()["result"]["tools"]}


@pytest.mark.parametrize("mode", MODES)
async def test_a_token_of_one_playbook_has_it_there_with_its_names_as_they_are(stack: Stack, mode: str) -> None:
    async with running("echo") as echo, running("everything") as every:
        organisation, _ = await published(stack, over(echo.url, every.url))
        token = await stack.token(organisation, "one", "--playbook", "only")
        async with agent(single(stack), token, mode) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == ["echo"]
            assert (await client.call_tool("echo", {"text": "hi"})).content[0].text == "hi"


@pytest.mark.parametrize("mode", MODES)
async def test_a_token_of_several_playbooks_has_them_as_one_each_with_its_own_rules(stack: Stack, mode: str) -> None:
    async with running("echo") as echo, running("everything") as every:
        organisation, _ = await published(stack, over(echo.url, every.url))
        token = await stack.token(organisation, "two", "--playbook", "only", "--playbook", "rich")
        async with agent(single(stack), token, mode) as client, Client(every.url, mode=mode) as direct:
            shown = [tool.name for tool in (await client.list_tools()).tools]
            said = [f"rich__{tool.name}" for tool in (await direct.list_tools()).tools]
            assert shown == ["only__echo", *said]
            assert (await client.call_tool("only__echo", {"text": "hi"})).content[0].text == "hi"
            called = await client.call_tool("rich__test_image_content", {})
            assert called.content == (await direct.call_tool("test_image_content", {})).content
            prompts = [prompt.name for prompt in (await client.list_prompts()).prompts]
            assert prompts == [f"rich__{prompt.name}" for prompt in (await direct.list_prompts()).prompts]
            arguments = {"arg1": "a", "arg2": "b"}
            got = await client.get_prompt("rich__test_prompt_with_arguments", arguments)
            assert got.messages == (await direct.get_prompt("test_prompt_with_arguments", arguments)).messages
            reference = types.PromptReference(type="ref/prompt", name="rich__test_prompt_with_arguments")
            await client.complete(reference, {"name": "arg1", "value": "a"})
            listed = [str(one.uri) for one in (await client.list_resources()).resources]
            assert listed == [str(one.uri) for one in (await direct.list_resources()).resources]
            for uri in ("test://static-text", "test://template/123/data"):
                assert (await client.read_resource(uri)).contents == (await direct.read_resource(uri)).contents
        for hidden in ("only__mark", "full__echo", "echo", "rich__echo"):
            answer = await stack.rpc(single(stack), "tools/call", {"name": hidden, "arguments": {"text": "x"}}, token)
            assert answer.json()["error"]["data"]["code"] == "tool.unknown", hidden


async def test_a_record_names_the_playbook_the_version_and_the_tool_that_a_call_ran_under(stack: Stack) -> None:
    async with running("echo") as echo, running("everything") as every:
        text = over(echo.url, every.url)
        organisation, token = await published(stack, text)
        changed = json.loads(text.replace("ORG", organisation))
        changed["playbooks"]["only"]["title"] = "Again"
        await stack.apply(json.dumps(changed))
        for name, arguments in (("only__echo", {"text": "x"}), ("full__echo", {"text": "x"}), ("full__echo", {"n": 1})):
            await stack.rpc(single(stack), "tools/call", {"name": name, "arguments": arguments}, token)

        async def recorded() -> bool:
            calls = (await stack.cli_json("calls", "ls", "--org", organisation))["calls"]
            found = sorted((one["playbook"], one["version"], one["tool"], one["outcome"]) for one in calls)
            expected = [("full", 1, "echo", "ok"), ("full", 1, "echo", "refused"), ("only", 2, "echo", "ok")]
            assert found == expected
            return True

        await eventually(recorded, every=0.3)


async def test_two_organisations_share_the_url_and_nothing_else(stack: Stack) -> None:
    async with running("echo") as echo, running("everything") as every:
        _, token = await published(stack, file({"echo": echo.url}, mine={"echo": {}}))
        _, other = await published(stack, file({"every": every.url}, theirs={"every": {}}))
        assert {name.split("__")[0] for name in await names(stack, token)} == {"mine"}
        assert {name.split("__")[0] for name in await names(stack, other)} == {"theirs"}
        headers = await session_of(single(stack), token)
        async with httpx2.AsyncClient(timeout=PATIENCE) as http:
            listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
            stolen = {**headers, "Authorization": f"Bearer {other}"}
            assert (await http.post(single(stack), json=listing, headers=stolen)).status_code == 404


@pytest.mark.parametrize("mode", MODES)
async def test_a_connected_agent_is_told_of_new_changed_rolled_back_and_retired_playbooks(
    stack: Stack, mode: str
) -> None:
    async with running("echo") as echo:
        first = file({"echo": echo.url}, one={"echo": {"names": "bare"}})
        organisation, token = await published(stack, first)
        told = asyncio.Event()

        async def on_message(message: Any) -> None:
            if isinstance(message, types.ToolListChangedNotification):
                told.set()

        async def until(client: Any, expected: set[str]) -> None:
            await asyncio.wait_for(told.wait(), PATIENCE)
            told.clear()
            assert {tool.name for tool in (await client.list_tools()).tools} == expected

        all_of = {"echo", "slow", "progress", "mark", "big", "rpc_error", "tool_error"}
        async with agent(single(stack), token, mode, message_handler=on_message) as client:
            shown = {tool.name for tool in (await client.list_tools()).tools}
            assert {f"one__{name}" for name in all_of} & shown
            listening = await follow(client, mode, told)
            text = first.replace("ORG", organisation)
            narrow = {"names": "bare", "tools": {"allow": ["echo"]}}
            added = json.loads(text)
            added["playbooks"]["two"] = {"servers": {"echo": narrow}}
            await stack.apply(json.dumps(added))
            await until(client, shown | {"two__echo"})
            added["playbooks"]["one"] = {"servers": {"echo": narrow}}
            await stack.apply(json.dumps(added))
            await until(client, {"one__echo", "two__echo"})
            await stack.cli("playbook", "rollback", f"{organisation}/one", "--to", "1", "-m", "back")
            await until(client, shown | {"two__echo"})
            await stack.cli("playbook", "rm", f"{organisation}/two", "-m", "enough")
            await until(client, shown)
            if listening is not None:
                listening.cancel()


async def follow(client: Any, mode: str, told: asyncio.Event) -> asyncio.Task[None] | None:
    """In the stateless era an agent opens a subscription; in the other one the GET stream is there already."""
    if mode == "legacy":
        return None
    opened = asyncio.Event()

    async def listen() -> None:
        async with client.listen(tools_list_changed=True) as stream:
            opened.set()
            async for _ in stream:
                told.set()

    task = asyncio.ensure_future(listen())
    await asyncio.wait_for(opened.wait(), PATIENCE)
    return task


@pytest.mark.parametrize("mode", MODES)
async def test_a_watched_resource_and_a_question_to_the_user_come_through(stack: Stack, mode: str) -> None:
    async def accept(_: Any, asked: types.ElicitRequestParams) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"name": "Ada"})

    updated = asyncio.Event()

    async def on_message(message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            updated.set()

    async with running("echo") as echo, running("everything") as every:
        _, token = await published(stack, over(echo.url, every.url))
        options = {"elicitation_callback": accept, "message_handler": on_message}
        async with agent(single(stack), token, mode, **options) as client:
            asked = await client.call_tool("rich__test_input_required_result_elicitation", {})
            assert asked.content[0].text == "Hello, Ada!"
            opened = asyncio.Event()
            watching = asyncio.ensure_future(watch(client, mode, opened, updated))
            await asyncio.wait_for(opened.wait(), PATIENCE)
            async with asyncio.timeout(PATIENCE):
                while not updated.is_set():
                    await client.call_tool("rich__test_trigger_resource_change", {})
                    await asyncio.wait({asyncio.ensure_future(updated.wait())}, timeout=0.5)
            watching.cancel()


async def watch(client: Any, mode: str, opened: asyncio.Event, updated: asyncio.Event) -> None:
    if mode == "legacy":
        await client.subscribe_resource("test://watched-resource")
        opened.set()
        return
    async with client.listen(resource_subscriptions=["test://watched-resource"]) as stream:
        opened.set()
        async for _ in stream:
            updated.set()


async def test_a_held_call_goes_on_at_any_edge_and_only_for_its_own_token(stack: Stack) -> None:
    async with running("echo") as echo, running("everything", "--era", "2025") as every:
        organisation, token = await published(stack, over(echo.url, every.url))
        other = await stack.token(organisation, "somebody-else")
        call = {"name": "rich__test_input_required_result_elicitation", "arguments": {}, "_meta": CAPABLE}
        question = (await stack.rpc(single(stack, 0), "tools/call", call, token)).json()["result"]
        answers = {key: {"action": "accept", "content": {"name": "Ada"}} for key in question["inputRequests"]}
        retry = {**call, "inputResponses": answers, "requestState": question["requestState"]}
        stolen = (await stack.rpc(single(stack, -1), "tools/call", retry, other)).json()
        assert stolen["error"]["data"]["code"] == "call.state_invalid"
        done = (await stack.rpc(single(stack, -1), "tools/call", retry, token)).json()
        assert done["result"]["content"][0]["text"] == "Hello, Ada!"


async def test_headers_are_checked_against_the_name_as_it_is_called_here(stack: Stack) -> None:
    async with running("echo") as echo, running("everything") as every:
        _, token = await published(stack, over(echo.url, every.url))
        call = {"name": "only__echo", "arguments": {"text": "x"}}
        wrong = await stack.rpc(single(stack), "tools/call", call, token, {"Mcp-Name": "echo"})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, -32020)
        listed = (await stack.rpc(single(stack), "tools/list", {}, token)).json()["result"]
        assert (listed["cacheScope"], listed["ttlMs"], listed["resultType"]) == ("private", 0, "complete")
        about = (await stack.rpc(single(stack), "server/discover", {}, token)).json()["result"]
        assert about["capabilities"]["completions"] == {}


async def test_a_session_begun_at_one_edge_is_served_by_the_other_and_is_not_one_of_a_playbook(stack: Stack) -> None:
    async with running("echo") as echo, running("everything") as every:
        organisation, token = await published(stack, over(echo.url, every.url))
        headers = await session_of(single(stack, 0), token)
        listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        async with httpx2.AsyncClient(timeout=PATIENCE) as http:
            answer = await http.post(single(stack, -1), json=listing, headers=headers)
            assert "only__echo" in answer.text
            elsewhere = await http.post(stack.endpoint(organisation, "only"), json=listing, headers=headers)
            assert elsewhere.status_code == 404


async def test_a_revoked_token_is_out_with_its_streams_within_two_seconds(stack: Stack) -> None:
    async with running("echo") as echo, running("everything") as every:
        organisation, _ = await published(stack, over(echo.url, every.url))
        issued = await stack.cli_json("token", "issue", "agent-2", "--org", organisation)
        token = issued["token"]
        headers = await session_of(single(stack), token)
        stream = Stream("GET", single(stack, -1), headers)
        await asyncio.wait_for(stream.open.wait(), PATIENCE)
        assert await names(stack, token)
        await stack.cli("token", "revoke", issued["key_id"], "--org", organisation)
        await promised(stream.over.is_set, within=2)
        for edge in range(stack.replicas):
            answer = await stack.rpc(single(stack, edge), "tools/list", {}, token)
            assert (answer.status_code, answer.json()["error"]["data"]["code"]) == (401, "auth.invalid")
        await stream.close()


async def test_without_a_token_and_for_an_administrator_it_is_said_what_to_do(stack: Stack) -> None:
    nobody = await stack.rpc(single(stack), "tools/list", {})
    assert nobody.status_code == 401
    assert nobody.headers["www-authenticate"].startswith("Bearer")
    assert "follows from a token" in nobody.json()["error"]["message"]
    assert "callboard token issue" in nobody.json()["error"]["data"]["hint"]
    administrator = await stack.rpc(single(stack), "tools/list", {}, stack.admin_token)
    assert administrator.status_code == 403
    assert "belongs to no organisation" in administrator.json()["error"]["message"]
    assert (await stack.rpc(f"{stack.url}/mcp/else", "tools/list", {}, stack.admin_token)).status_code == 404


async def test_a_token_for_what_is_not_there_yet_finds_nothing_and_then_finds_it(stack: Stack) -> None:
    async with running("echo") as echo:
        bare = {"echo": {"names": "bare"}}
        organisation, _ = await published(stack, file({"echo": echo.url}, one=bare))
        token = await stack.token(organisation, "later", "--playbook", "team-*")
        assert await names(stack, token) == set()
        await stack.apply(file({"echo": echo.url}, **{"one": bare, "team-a": bare}).replace("ORG", organisation))
        assert "team-a__echo" in await eventually(lambda: names(stack, token))


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_the_inspector_lists_and_calls_there_too(stack: Stack, era: str) -> None:
    async with running("echo") as echo, running("everything") as every:
        _, token = await published(stack, over(echo.url, every.url))
        tools = await inspect(single(stack), token, era, "--method", "tools/list")
        assert {"only__echo", "full__echo", "rich__test_simple_text"} <= {tool["name"] for tool in tools["tools"]}
        call = ("--method", "tools/call", "--tool-name", "only__echo", "--tool-arg", "text=hello")
        assert (await inspect(single(stack), token, era, *call))["content"][0]["text"] == "hello"


async def test_a_fresh_token_comes_with_the_line_that_connects_it(stack: Stack) -> None:
    async with running("echo") as echo:
        bare = {"echo": {"names": "bare"}}
        organisation, _ = await published(stack, file({"echo": echo.url}, one=bare))
        for more, said in ((("--playbook", "one"), False), ((), True), (("--playbook", "on?"), True)):
            _, token, told = await stack.cli("token", "issue", "fresh", "--org", organisation, *more)
            assert f"claude mcp add --transport http callboard {stack.url}/mcp --header" in told
            assert token.strip() not in told
            assert ("names like PLAYBOOK__TOOL" in told) is said
            assert ("one__echo" in await names(stack, token.strip())) is said
