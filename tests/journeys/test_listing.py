"""Lists of several servers as one: pages with cursors, their order, and what is said about keeping them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import published
from tests.support.speaker import ERAS, Speaker, speaker
from tests.support.stack import Stack
from tests.support.telling import playbook_of, telling, tool
from tests.support.upstreams.launch import running
from tests.support.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session")]
PAGE = 1000
"""Entries of one page, as the router's settings have it."""
KINDS = {
    "tools/list": ("tools", "name"),
    "prompts/list": ("prompts", "name"),
    "resources/list": ("resources", "uri"),
    "resources/templates/list": ("resourceTemplates", "uriTemplate"),
}


def numbered(prefix: str, count: int) -> dict[str, Any]:
    """A server with so many of everything, in pages of 300."""
    items = {
        "tools/list": [tool(f"{prefix}{n:05}") for n in range(count)],
        "prompts/list": [{"name": f"{prefix}{n:05}"} for n in range(count)],
        "resources/list": [{"uri": f"{prefix}://{n:05}", "name": "r"} for n in range(count)],
        "resources/templates/list": [{"uriTemplate": f"{prefix}://{n:05}/{{x}}", "name": "t"} for n in range(count)],
    }
    return {
        method: [{KINDS[method][0]: all_of[start : start + 300]} for start in range(0, max(count, 1), 300)]
        for method, all_of in items.items()
    }


async def walk(one: Speaker, method: str) -> tuple[list[str], list[int], list[str]]:
    """(names, size of each page, cursors) of a whole list; every page at some edge."""
    key, named = KINDS[method]
    names: list[str] = []
    sizes: list[int] = []
    cursors: list[str] = []
    while True:
        result = (await one.ask(method, **({"cursor": cursors[-1]} if cursors else {}))).result
        names += [item[named] for item in result[key]]
        sizes.append(len(result[key]))
        if "nextCursor" not in result:
            return names, sizes, cursors
        cursors.append(result["nextCursor"])


@pytest.mark.parametrize("upstream", ERAS)
async def test_long_lists_of_several_servers_are_read_whole_and_paged_in_one_order(
    stack: Stack, upstream: str, tmp_path: Path
) -> None:
    async with (
        telling(tmp_path, numbered("b", 1300), era=upstream) as one,
        telling(tmp_path, numbered("a", 1200), era=upstream) as two,
    ):
        bare = {"names": "none"}
        text = playbook_of({"one": one.server, "two": two.server}, {"one": bare, "two": bare})
        organisation, token = await published(stack, text)
        for era in ERAS:
            async with speaker(stack, organisation, token, era) as agent:
                for method in KINDS:
                    names, sizes, _ = await walk(agent, method)
                    assert sizes == [PAGE, PAGE, 500], method
                    assert [name[:1] for name in names] == ["b"] * 1300 + ["a"] * 1200
                    assert names == [*sorted(names[:1300]), *sorted(names[1300:])]
                    assert (await walk(agent, method))[0] == names


async def test_ten_thousand_tools_are_listed_page_by_page_and_the_last_is_called(stack: Stack) -> None:
    async with running("echo", "--tools", "10000", "--page-size", "100") as echo:
        organisation, token = await published(stack, playbook_of({"up": {"url": echo.url}}, {"up": {"names": "none"}}))
        async with speaker(stack, organisation, token, "2025") as agent:
            names, sizes, _ = await walk(agent, "tools/list")
            assert sizes == [PAGE] * 10 + [7]
            assert names[-1] == "echo_10000"
            assert (await agent.call(names[-1], {"text": "the last"})).text == "the last"


async def test_a_cursor_survives_what_does_not_touch_its_list_and_fails_cleanly_otherwise(
    stack: Stack, tmp_path: Path
) -> None:
    async with telling(tmp_path, numbered("a", 1500)) as told:
        body = json.loads(playbook_of({"up": told.server}))
        body["playbooks"]["q"] = body["playbooks"]["p"]
        organisation, token = await published(stack, json.dumps(body))
        body["organisation"] = organisation
        for era in ERAS:
            async with speaker(stack, organisation, token, era) as agent:
                _, _, (cursor,) = await walk(agent, "tools/list")
                _, _, (of_prompts,) = await walk(agent, "prompts/list")
                body["playbooks"]["p"]["title"] = f"published in between, for {era}"
                await stack.apply(json.dumps(body), "another title")
                assert len((await agent.ask("tools/list", cursor=cursor)).result["tools"]) == 500
                refused = [of_prompts, cursor[:-1] + "x", cursor + "0", "", "1000", "A" * 5000]
                for bad in refused:
                    await is_refused(agent, bad)
                await is_refused(agent, 5)
            async with speaker(stack, organisation, token, era, "q") as other:
                await is_refused(other, cursor)
        async with speaker(stack, organisation, token, "2026") as agent:
            _, _, (cursor,) = await walk(agent, "tools/list")
            body["playbooks"]["p"]["servers"]["up"]["tools"] = {"deny": ["a00000"]}
            await stack.apply(json.dumps(body), "one less")
            await is_refused(agent, cursor)
            assert len((await walk(agent, "tools/list"))[0]) == 1499


async def is_refused(agent: Speaker, cursor: Any) -> None:
    heard = await agent.ask("tools/list", cursor=cursor)
    assert heard.error["code"] == -32602
    assert heard.status == (400 if agent.era == "2026" else 200)


def kept(ttl: int, scope: str) -> dict[str, Any]:
    """A server that says this of everything."""
    said = {"ttlMs": ttl, "cacheScope": scope}
    return {
        "tools/list": {"tools": [tool("t")], **said},
        "prompts/list": {"prompts": [{"name": "p"}], **said},
        "resources/list": {"resources": [{"uri": f"x{ttl}://r", "name": "r"}], **said},
        "resources/templates/list": {"resourceTemplates": [{"uriTemplate": f"x{ttl}://{{t}}", "name": "t"}], **said},
        "resources/read": {"contents": [{"uri": f"x{ttl}://r", "text": "é"}], **said},
    }


@pytest.mark.parametrize(
    ("access", "servers", "expected"),
    [
        ("anonymous", [(9000, "public"), (4000, "public")], (4000, "public")),
        ("anonymous", [(9000, "public"), (4000, "private")], (4000, "private")),
        ("token", [(9000, "public"), (4000, "public")], (4000, "private")),
        ("anonymous", [(9000, "public"), None], (0, "private")),
    ],
    ids=["public", "one-private", "token", "one-silent"],
)
async def test_what_is_said_about_keeping_a_list_is_what_every_server_said(
    stack: Stack, access: str, servers: list[tuple[int, str] | None], expected: tuple[int, str], tmp_path: Path
) -> None:
    first, second = (kept(*said) if said else numbered("silent", 1) for said in servers)
    async with telling(tmp_path, first) as one, telling(tmp_path, second) as two:
        text = playbook_of({"one": one.server, "two": two.server}, access=access)
        organisation, token = await published(stack, text)
        url = stack.endpoint(organisation, "p")
        bearer = None if access == "anonymous" else token
        for method in KINDS:
            result = (await stack.rpc(url, method, token=bearer)).json()["result"]
            assert (result["ttlMs"], result["cacheScope"]) == expected, method
        read = (await stack.rpc(url, "resources/read", {"uri": "x9000://r"}, bearer)).json()["result"]
        assert (read["ttlMs"], read["cacheScope"]) == (9000, "private" if bearer else "public")
        assert read["contents"] == [{"uri": "x9000://r", "text": "é"}]
        async with speaker(stack, organisation, token, "2025") as older:
            assert "ttlMs" not in (await older.ask("tools/list")).result


async def test_what_servers_say_about_keeping_is_followed(stack: Stack, tmp_path: Path) -> None:
    async with telling(tmp_path, kept(60_000, "public")) as told:
        organisation, _ = await published(stack, playbook_of({"up": told.server}, access="anonymous"))

        def says(ttl: int, scope: str) -> Callable[[], Awaitable[bool]]:
            async def said() -> bool:
                answer = await stack.rpc(stack.endpoint(organisation, "p"), "tools/list")
                result = answer.json()["result"]
                return (result["ttlMs"], result["cacheScope"]) == (ttl, scope)

            return said

        await eventually(says(60_000, "public"))
        told.tell(**kept(60_000, "private"))
        await told.announce()
        await eventually(says(60_000, "private"))
        told.tell(**kept(10, "private"))
        await told.announce()
        await eventually(says(10, "private"))
