"""Policies through everything that an agent can ask, in both eras, on every carrier; and how often it may ask."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from tests.journeys.test_streams import Stream, session_of
from tests.journeys.test_web_socket import talking
from tests.support.agents import MODES, agent, one_server, published
from tests.support.carriers import socket_url
from tests.support.shared import Shared, everything_url
from tests.support.stack import META, Stack
from tests.support.waiting import PATIENCE, eventually, promised

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
]
WATCHED, TEXT, PROMPT = "test://watched-resource", "test://static-text", "test_prompt_with_arguments"
NARROW = {
    "for": {"clients": ["bot"]},
    "tools": {"allow": ["up/test_simple_text", "up/test_tr*"], "deny": ["up/test_tr*"]},
    "resources": {"allow": ["up/test://template/1/*"]},
}


async def place(shared: Shared, stack: Stack) -> str:
    """An organisation with playbook `p` over the everything server, which keeps what it can."""
    text = json.loads(one_server({"url": await everything_url(shared)}))
    text["playbooks"]["p"]["record"] = {"arguments": True, "results": True}
    return (await published(stack, json.dumps(text)))[0]


async def said(stack: Stack, organisation: str, policy: str, definition: Any) -> None:
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {stack.admin_token}"}, timeout=30) as http:
        url = f"{stack.url}/api/v1/organisations/{organisation}/policies/{policy}"
        answer = await http.put(url, json={"definition": definition, "comment": "a test"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["changed"]


async def tools(stack: Stack, organisation: str, token: str) -> list[list[str]]:
    """As every edge, and every router behind it, lists them."""
    urls = [stack.endpoint(organisation, "p", edge) for edge in range(stack.replicas)] * 4
    answers = await asyncio.gather(*(stack.rpc(url, "tools/list", {}, token) for url in urls))
    return [sorted(tool["name"] for tool in answer.json()["result"]["tools"]) for answer in answers]


async def holds(stack: Stack, organisation: str, token: str) -> None:
    """It takes effect within two seconds, wherever one asks."""
    await promised(lambda: _only(stack, organisation, token, ["test_simple_text"]), within=2)


async def _only(stack: Stack, organisation: str, token: str, expected: list[str]) -> bool:
    return all([found == expected for found in await tools(stack, organisation, token)])


async def refused(asking: Any) -> str:
    with pytest.raises(MCPError) as error:
        await asking
    return str(error.value.error.data["code"])


@pytest.mark.parametrize("mode", MODES)
async def test_what_a_policy_denies_is_not_there_for_whatever_its_clients_ask(
    shared: Shared, stack: Stack, mode: str
) -> None:
    organisation = await place(shared, stack)
    bot, ann = await stack.token(organisation, "bot"), await stack.token(organisation, "ann")
    async with agent(stack.endpoint(organisation, "p"), bot, mode) as client:
        assert len((await client.list_tools()).tools) > 5
    await said(stack, organisation, "narrow", NARROW)
    await holds(stack, organisation, bot)

    union = f"{stack.urls[-1]}/mcp"
    for url, prefix in ((stack.endpoint(organisation, "p", -1), ""), (union, "p__")):
        async with agent(url, bot, mode) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == [f"{prefix}test_simple_text"]
            assert (await client.list_prompts()).prompts == []
            assert (await client.list_resources()).resources == []
            assert not (await client.call_tool(f"{prefix}test_simple_text", {})).is_error
            for name in (f"{prefix}test_trigger_resource_change", f"{prefix}never"):
                assert await refused(client.call_tool(name, {})) == "tool.unknown"
            assert await refused(client.get_prompt(f"{prefix}{PROMPT}", {"arg1": "a", "arg2": "b"})) == "prompt.unknown"
            reference = types.PromptReference(type="ref/prompt", name=f"{prefix}{PROMPT}")
            assert await refused(client.complete(reference, {"name": "arg1", "value": "a"})) == "prompt.unknown"
            assert await refused(client.read_resource(TEXT)) == "resource.unknown"
            assert await refused(client.read_resource("test://template/2/data")) == "resource.unknown"
            assert (await client.read_resource("test://template/1/data")).contents
            if mode == "legacy":
                assert await refused(client.subscribe_resource(WATCHED)) == "resource.unknown"
        async with agent(url, ann, mode) as other:
            assert len((await other.list_tools()).tools) > 5
            assert (await other.read_resource(TEXT)).contents


def listening(stack: Stack, organisation: str, token: str) -> Stream:
    headers = {
        "Authorization": f"Bearer {token}",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "subscriptions/listen",
    }
    wanted = {"toolsListChanged": True, "resourceSubscriptions": [WATCHED]}
    params = {"_meta": META, "notifications": wanted}
    body = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}
    return Stream("POST", stack.endpoint(organisation, "p", -1), headers, body)


async def subscribed(stack: Stack, organisation: str, token: str, mode: str) -> Stream:
    """A stream that hears of the resource, of either era."""
    if mode == "auto":
        return listening(stack, organisation, token)
    url = stack.endpoint(organisation, "p", -1)
    headers = await session_of(url, token)
    body = {"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {"uri": WATCHED}}
    async with httpx2.AsyncClient(timeout=PATIENCE) as http:
        assert "result" in (await http.post(url, json=body, headers=headers)).json()
    return Stream("GET", url, headers)


@pytest.mark.parametrize("mode", MODES)
async def test_an_open_stream_hears_that_its_lists_changed_and_nothing_of_what_is_denied_since(
    shared: Shared, stack: Stack, mode: str
) -> None:
    organisation = await place(shared, stack)
    bot, ann = await stack.token(organisation, "bot"), await stack.token(organisation, "ann")
    streams = [await subscribed(stack, organisation, token, mode) for token in (bot, ann)]
    for stream in streams:
        await asyncio.wait_for(stream.open.wait(), PATIENCE)

    async def heard(stream: Stream, before: int) -> bool:
        params = {"name": "test_trigger_resource_change", "arguments": {}}
        await stack.rpc(stack.endpoint(organisation, "p"), "tools/call", params, ann)
        return stream.text.count("resources/updated") > before

    for stream in streams:
        await eventually(lambda stream=stream: heard(stream, 0), every=0.2)
    await said(stack, organisation, "narrow", NARROW)
    await promised(lambda: "tools/list_changed" in streams[0].text, within=2)
    await holds(stack, organisation, bot)
    before = [stream.text.count("resources/updated") for stream in streams]
    await eventually(lambda: heard(streams[1], before[1] + 1), every=0.2)
    assert streams[0].text.count("resources/updated") - before[0] <= 1, "but for what was on its way"
    assert "tools/list_changed" not in streams[1].text
    for stream in streams:
        await stream.close()


async def test_what_is_recorded_runs_again_only_for_whom_it_is_allowed_and_refusals_are_recorded(
    shared: Shared, stack: Stack
) -> None:
    organisation = await place(shared, stack)
    bot = await stack.token(organisation, "bot")
    call = {"name": "test_simple_text", "arguments": {}}
    assert "result" in (await stack.rpc(stack.endpoint(organisation, "p"), "tools/call", call, bot)).json()

    async def records() -> Any:
        return (await stack.cli_json("calls", "ls", "--org", organisation))["calls"]

    (done,) = await eventually(records)
    words = ("replay", done["call_id"], "--against", "@1", "--org", organisation, "--unsafe", "test_simple_text")
    assert (await stack.cli_json(*words))["same"] == 1
    await stack.cli_json("server", "off", "up", "--org", organisation, "-m", "an incident")
    await promised(lambda: _only(stack, organisation, bot, []), within=2)
    (again,) = (await stack.cli_json(*words))["replayed"]
    assert (again["same"], again["outcome_after"]) == (False, "tool.unknown")
    assert (await stack.rpc(stack.endpoint(organisation, "p"), "tools/call", call, bot)).json()["error"]["data"][
        "code"
    ] == "tool.unknown"

    async def denied() -> bool:
        return any(one.get("problem") == "policy.denied" and one["client"] == "bot" for one in await records())

    await eventually(denied)
    await stack.cli_json("server", "on", "up", "--org", organisation, "-m", "it is over")
    await promised(lambda: tools_again(stack, organisation, bot), within=2)


async def tools_again(stack: Stack, organisation: str, token: str) -> bool:
    return all(["test_simple_text" in found for found in await tools(stack, organisation, token)])


async def legacy_call(url: str, headers: dict[str, str], id: str, text: str) -> httpx2.Response:
    params = {"name": text, "arguments": {}}
    body = {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}
    async with httpx2.AsyncClient(timeout=PATIENCE) as http:
        return await http.post(url, json=body, headers=headers)


async def test_whoever_calls_too_often_is_told_when_to_come_again_on_every_carrier(
    shared: Shared, stack: Stack
) -> None:
    organisation = await place(shared, stack)
    bot, ann = await stack.token(organisation, "bot"), await stack.token(organisation, "ann")
    limits = {
        "for": {"clients": ["bot"]},
        "limits": [
            {"calls": 60, "every": "day", "per": ["address"]},
            {"calls": 1000, "every": "hour", "per": ["key", "tool"]},
        ],
    }
    await said(stack, organisation, "slow", limits)
    await promised(lambda: limited(stack, organisation), within=2)
    url, call = stack.endpoint(organisation, "p"), {"name": "test_simple_text", "arguments": {}}
    urls = [stack.endpoint(organisation, "p", number % stack.replicas) for number in range(90)]
    # Nobody becomes another one by saying so.
    froms = [{"X-Forwarded-For": f"203.0.113.{number}"} for number in range(90)]
    calls = (stack.rpc(one, "tools/call", call, bot, said) for one, said in zip(urls, froms, strict=True))
    answers = await asyncio.gather(*calls)
    through = sum("result" in answer.json() for answer in answers)
    assert 57 <= through <= 60
    over = next(answer for answer in answers if "error" in answer.json())
    assert over.status_code == 429
    assert 0 < int(over.headers["retry-after"]) <= 86_400
    body = over.json()
    assert (body["id"], body["error"]["code"], body["error"]["data"]["code"]) == (1, -32003, "limit.exceeded")

    headers = await session_of(url, bot)
    late = await legacy_call(url, headers, "seven", "test_simple_text")
    assert (late.status_code, late.json()["id"]) == (429, "seven")
    assert int(late.headers["retry-after"]) > 0
    async with talking(socket_url(stack, organisation, "p"), bot) as socket:
        await socket.ask("w", "tools/call", call)
        error = (await socket.answer("w"))["error"]
        assert (error["data"]["code"], error["data"]["retry_after"] > 0) == ("limit.exceeded", True)
    assert "result" in (await stack.rpc(url, "tools/list", {}, bot)).json(), "lists are free"
    assert "result" in (await stack.rpc(url, "tools/call", call, ann)).json(), "and others have what they had"


async def limited(stack: Stack, organisation: str) -> bool:
    """Every router has compiled it: what is told of the caller then names the limits."""
    found = [
        await stack.cli_json("policy", "explain", f"{organisation}/p", "test_simple_text", "--as", "bot")
        for _ in range(4)
    ]
    return all(len(one["limits"]) == 2 for one in found)


POLICIES = """\
version: 1
policies:
  research:
    layer: agent
    for: {clients: ["bot*"]}
    tools: {allow: ["up/*"]}
    arguments:
      - {argument: phrase, name: polite, pattern: "please .*"}
    when:
      - {days: [mon, tue, wed, thu, fri], start: 8:00, end: 18:00, zone: Europe/Zurich}
expect:
  - {playbook: p, tool: test_simple_text, client: bot-1, at: 2026-11-20T12:00:00Z, expect: allowed}
  - {playbook: p, tool: test_simple_text, client: bot-1, at: 2026-11-21T12:00:00Z, expect: denied}
  - playbook: p
    tool: test_simple_text
    client: bot-1
    at: 2026-11-20T12:00:00Z
    arguments: {phrase: now}
    expect: denied
  - {playbook: p, prompt: test_simple_prompt, client: bot-1, at: 2026-11-20T12:00:00Z, expect: EXPECTED}
"""


async def test_a_policy_is_tried_set_explained_shown_and_removed_from_the_command_line(
    shared: Shared, stack: Stack
) -> None:
    organisation = await place(shared, stack)
    bot, here = await stack.token(organisation, "bot-1"), ("--org", organisation)
    call = {"name": "test_simple_text", "arguments": {}}
    assert "result" in (await stack.rpc(stack.endpoint(organisation, "p"), "tools/call", call, bot)).json()
    prompt = {"name": "test_simple_prompt", "arguments": {}}
    file = stack.directory / f"{organisation}.yaml"
    file.write_text(POLICIES.replace("8:00, end", '"8:00", end').replace("EXPECTED", "denied"))
    code, _, err = await stack.cli("policy", "set", "-f", str(file), "-m", "why", *here, ok=False)
    assert code == 2
    assert "when[0]: start: '8:00' is no time; write it like 08:30" in err

    file.write_text(POLICIES.replace("EXPECTED", "allowed"))
    code, out, _ = await stack.cli("policy", "test", "-f", str(file), *here, ok=False)
    assert code == 4
    assert "3 of 4 expectations are met" in out
    assert "prompt test_simple_prompt of p for bot-1: denied (policy research: prompts.allow" in out
    file.write_text(POLICIES.replace("EXPECTED", "denied").replace("mon, tue, wed, thu, fri", "sun").replace(
        "2026-11-20T12", "2026-11-22T12"))  # fmt: skip

    async def recorded() -> bool:
        told = await stack.cli_json("policy", "test", "-f", str(file), "--days", "2", *here)
        assert told["not_judged"] == [], "the playbook keeps arguments"
        found = [(one["tool"], one["client"], one["calls"], one["rule"]) for one in told["denied"]]
        return found == [("test_simple_text", "bot-1", 1, "policy research: when: outside of its times")]

    await eventually(recorded)
    head, _, _ = POLICIES.partition("    when:")
    file.write_text(head.replace('"please .*"', '"please .*", required: true'))
    told = await stack.cli_json("policy", "test", "-f", str(file), "--days", "2", *here)
    assert ["arguments" in one["rule"] for one in told["denied"]] == [True], told
    assert (await stack.cli_json("policy", "ls", *here))["policies"] == [], "trying sets nothing"

    file.write_text(POLICIES.replace("EXPECTED", "denied"))
    assert (await stack.cli_json("policy", "set", "-f", str(file), "-m", "careful", *here))["research"]["changed"]
    assert not (await stack.cli_json("policy", "set", "-f", str(file), *here))["research"]["changed"]
    asked = ("policy", "explain", f"{organisation}/p", "test_simple_text", "--as", "bot-1")
    told = await stack.cli_json(*asked, "--at", "2026-11-21T12:00:00Z")
    assert not told["allowed"]
    assert [(one["layer"], one["allowed"]) for one in told["verdicts"]] == [
        ("organisation", True), ("playbook", True), ("agent", False),
    ]  # fmt: skip
    assert told["verdicts"][-1]["rule"] == "when: outside of its times"
    other = ("policy", "explain", f"{organisation}/p", "test_simple_text", "--as", "ann")
    assert (await stack.cli_json(*other, "--at", "2026-11-21T12:00:00Z"))["allowed"]
    _, out, _ = await stack.cli(*asked, "--at", "2026-11-20T12:00:00Z", "--json-args", '{"phrase": "hidden-value"}')
    assert "arguments policy research: DENIES (arguments: polite: does not match the pattern)" in out
    assert "hidden-value" not in out

    shown = await stack.cli_json("policy", "show", "research", *here)
    assert [one["comment"] for one in shown["changes"]] == ["careful"]
    code, out, _ = await stack.cli("policy", "show", "research", *here)
    file.write_text(out)
    assert not (await stack.cli_json("policy", "set", "-f", str(file), *here))["research"]["changed"]
    await stack.cli_json("policy", "rm", "research", "-m", "no more", *here)
    assert (await stack.cli_json("policy", "ls", *here))["policies"] == []
    types_told = [one["event"]["type"] for one in (await stack.cli_json("events", "ls", *here))["events"]]
    assert [one for one in types_told if one.startswith("policy.")] == ["policy.set", "policy.removed"]
    got = await stack.rpc(stack.endpoint(organisation, "p"), "prompts/get", prompt, bot)
    assert "result" in got.json()


async def test_only_who_governs_sets_policies_and_whoever_may_read_sees_them(shared: Shared, stack: Stack) -> None:
    organisation = await place(shared, stack)
    token = await stack.token(organisation, "tool", "--scope", "manage")
    base = f"{stack.url}/api/v1/organisations/{organisation}"
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30) as http:
        body = {"definition": {"read_only": True}, "comment": "why"}
        answer = await http.put(f"{base}/policies/mine", json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "auth.forbidden")
        assert (await http.get(f"{base}/policies")).json()["policies"] == []
        unknown = await http.get(f"{base}/policies/never")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "policy.unknown")
        typo = await http.post(f"{base}/policies/test", json={"policies": {"x": {"toolz": {}}}})
        assert typo.status_code == 400
