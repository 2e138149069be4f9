"""Names that agents see: strategies, aliases, and what happens when two want the same one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import published
from tests.support.names import fresh
from tests.support.speaker import ERAS, speaker
from tests.support.stack import Stack
from tests.support.telling import playbook_of, telling, tool
from tests.support.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session")]
LONG = "x" * 70
CALLED = {"content": [{"type": "text", "text": "called"}]}


def offering(*names: str, **more: Any) -> dict[str, Any]:
    calls = {f"tools/call {name}": CALLED for name in names}
    return {"tools/list": {"tools": [tool(name) for name in names]}, **calls, **more}


@pytest.mark.parametrize("era", ERAS)
async def test_a_playbook_chooses_how_names_are_made_and_the_upstream_hears_its_own(
    stack: Stack, era: str, tmp_path: Path
) -> None:
    expected = {
        "prefixed": "up__log",
        "double_underscore": "up__log",
        "dot": "up.log",
        "slash": "up/log",
        "none": "log",
        "bare": "log",
        "vcs": "vcs__log",
        "vcs-": "vcs-log",
    }
    prompts = {"prompts/list": {"prompts": [{"name": "log"}]}, "prompts/get log": {"messages": []}}
    async with telling(tmp_path, {**offering("log"), **prompts}) as told:
        playbooks = {f"p{number}": {"servers": {"up": {"names": names}}} for number, names in enumerate(expected)}
        body = {"version": 1, "organisation": "ORG", "servers": {"up": told.server}, "playbooks": playbooks}
        organisation, token = await published(stack, json.dumps(body))
        for number, wire in enumerate(expected.values()):
            async with speaker(stack, organisation, token, era, f"p{number}") as one:
                assert [each["name"] for each in (await one.ask("tools/list")).result["tools"]] == [wire]
                assert [each["name"] for each in (await one.ask("prompts/list")).result["prompts"]] == [wire]
                assert (await one.call(wire)).text == "called"
                assert (await one.ask("prompts/get", name=wire)).result["messages"] == []
        for method in ("tools/call", "prompts/get"):
            seen = told.seen(method)
            assert {line["params"]["name"] for line in seen} == {"log"}
            assert {line["headers"]["mcp-name"] for line in seen} == {"log"}


async def test_a_long_name_has_the_same_alias_in_every_version_and_after_a_restart(
    stack: Stack, tmp_path: Path
) -> None:
    async with telling(tmp_path, offering(LONG + "1", LONG + "2")) as told:
        body = json.loads(playbook_of({"up": told.server}))
        organisation, token = await published(stack, json.dumps(body))
        url = stack.endpoint(organisation, "p")

        async def listed() -> list[str]:
            answer = await stack.rpc(url, "tools/list", token=token)
            return [each["name"] for each in answer.json()["result"]["tools"]]

        first = await listed()
        assert len(set(first)) == 2
        assert {len(name) for name in first} == {64}
        body["organisation"], body["playbooks"]["p"]["title"] = organisation, "another version"
        await stack.apply(json.dumps(body), "another title")
        assert await listed() == first
        for name in [name for name in stack.pids() if name.startswith("router")]:
            stack.kill(name)
        await stack.ready()
        await eventually(lambda: _same(listed, first), every=0.2)
        called = await stack.rpc(url, "tools/call", {"name": first[1], "arguments": {}}, token)
        assert called.json()["result"]["content"][0]["text"] == "called"
        assert told.seen("tools/call")[-1]["params"]["name"] == LONG + "2"


async def _same(listed: Any, first: list[str]) -> bool:
    try:
        return bool(await listed() == first)
    except KeyError:
        return False


URI = {"resources/list": {"resources": [{"uri": "x://a", "name": "a"}]}}
TEMPLATE = {"resources/templates/list": {"resourceTemplates": [{"uriTemplate": "x://{b}", "name": "b"}]}}
PROMPT = {"prompts/list": {"prompts": [{"name": "hello"}]}}
BARE = {"one": {"names": "none"}, "two": {"names": "none"}}


@pytest.mark.parametrize(
    ("script", "uses", "more", "words"),
    [
        (offering("log"), BARE, {}, ["tool 'log'", "'one'", "'two'"]),
        (PROMPT, BARE, {}, ["prompt 'hello'", "'one'", "'two'"]),
        (URI, {}, {}, ["resource 'x://a'", "'one'", "'two'"]),
        (TEMPLATE, {}, {}, ["template 'x://{b}'", "'one'", "'two'"]),
        (
            offering("log", "status"),
            {"one": {"tools": {"rename": {"log": "status"}}}},
            {},
            ["tool 'one__status'", "'log'", "'status'", "'one'"],
        ),
        (
            offering("log"),
            {"one": {"names": "vcs"}, "two": {"names": "vcs"}},
            {},
            ["tool 'vcs__log'", "'one'", "'two'"],
        ),
        (
            PROMPT,
            {"one": {"names": "none"}, "two": {"enabled": False}},
            {"prompts": {"hello": {"template": "hi"}}},
            ["prompt 'hello'", "the playbook", "'one'"],
        ),
    ],
    ids=["tool", "prompt", "resource", "template", "rename", "prefix", "stored"],
)
async def test_two_of_one_name_are_refused_with_both_owners_named(
    stack: Stack, script: dict[str, Any], uses: dict[str, Any], more: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    async with telling(tmp_path, script) as one, telling(tmp_path, script) as two:
        organisation = fresh("org")
        text = playbook_of({"one": one.server, "two": two.server}, uses, **more).replace("ORG", organisation)
        file = stack.directory / f"{organisation}.yaml"
        file.write_text(text)
        code, _, err = await stack.cli("apply", "-f", str(file), "-m", "no", ok=False)
        assert code != 0
        for word in words:
            assert word in err
        token = await stack.token(organisation)
        answer = await stack.rpc(stack.endpoint(organisation, "p"), "tools/list", token=token)
        assert answer.status_code == 404


async def test_what_a_server_offers_later_under_the_name_of_another_one_is_hidden_and_told(
    stack: Stack, tmp_path: Path
) -> None:
    mine = {"content": [{"type": "text", "text": "the right one"}]}
    script = offering("log", **{"tools/call log": mine})
    async with telling(tmp_path, offering("other")) as first, telling(tmp_path, script) as second:
        text = playbook_of({"one": first.server, "two": second.server}, BARE)
        organisation, token = await published(stack, text)
        async with speaker(stack, organisation, token, "2026") as agent:
            first.tell(**offering("other", "log", "fresh"))
            await grown(stack, organisation, token, first, {"other", "fresh", "log"})
            assert (await agent.call("log")).text == "the right one"
            assert f"{organisation}/p: tool 'log' comes from both 'two' and 'one'" in await problems(stack)
            second.tell(**{"tools/list": {"tools": []}})
            await grown(stack, organisation, token, second, {"other", "fresh"})
            gone = await agent.call("log")
            assert gone.error["data"]["code"] == "tool.unknown"
        assert not [line for line in first.seen("tools/call") if line["params"]["name"] == "log"]


async def grown(stack: Stack, organisation: str, token: str, told: Any, names: set[str]) -> None:
    """Announce the new list and wait until every router serves it."""

    async def listed() -> bool:
        answers = [
            await stack.rpc(stack.endpoint(organisation, "p", edge), "tools/list", token=token)
            for edge in range(stack.replicas)
            for _ in range(stack.replicas)
        ]
        return all({each["name"] for each in answer.json()["result"]["tools"]} == names for answer in answers)

    await told.announce()
    await eventually(listed, every=0.1)


async def problems(stack: Stack) -> str:
    status = await stack.cli_json("status")
    return " ".join(instance.get("problem", "") for instance in status["instances"])
