"""A version tried on a share of the callers: who gets it, and how it ends by itself."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import pytest

from callboard.kernel.canary import is_chosen
from tests.support.names import fresh
from tests.support.stack import Stack
from tests.support.upstreams.launch import running
from tests.support.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

ECHO = {"allow": ["echo"]}
FAULTY = {"allow": ["rpc_error"], "rename": {"rpc_error": "echo"}}
"""The same name for a tool that answers every call with an error."""
MARK = {"allow": ["mark"], "rename": {"mark": "echo"}}
"""The same name for another tool that answers well."""


async def versions(stack: Stack, url: str, *tools: dict[str, Any]) -> str:
    """An organisation whose playbook `start` has one version after the other of these rules; the last is current."""
    organisation = fresh("org")
    for rules in tools:
        file = {
            "version": 1,
            "organisation": organisation,
            "servers": {"up": {"url": url}},
            "playbooks": {"start": {"servers": {"up": {"names": "bare", "tools": rules}}}},
        }
        await stack.apply(json.dumps(file))
    return organisation


async def start(
    stack: Stack,
    organisation: str,
    condition: str = "errors > 10%",
    percent: int = 50,
    until: str = "1h",
    calls: int = 5,
) -> None:
    """Version 1 is tried."""
    await stack.cli(
        "playbook", "canary", f"{organisation}/start", "@1", "--percent", str(percent), "--until", until,
        "--rollback-if", condition, "--min-calls", str(calls), "-m", "a try",
    )  # fmt: skip


async def events(stack: Stack, organisation: str, kind: str) -> list[dict[str, Any]]:
    found = (await stack.cli_json("events", "ls", "--org", organisation))["events"]
    return [event for event in found if event["event"]["type"] == f"playbook.{kind}"]


async def call(stack: Stack, organisation: str, token: str, edge: int = 0) -> dict[str, Any]:
    params = {"name": "echo", "arguments": {"text": "x"}}
    answer = await stack.rpc(stack.endpoint(organisation, "start", edge), "tools/call", params, token)
    found: dict[str, Any] = answer.json()
    return found


async def one_of_each(stack: Stack, organisation: str) -> tuple[str, str]:
    """Tokens of a client that the canary is tried on, and of one that it is not."""
    (started,) = await events(stack, organisation, "canary_started")
    canary, percent = started["event"]["canary"], started["event"]["percent"]
    names = [f"c{number}" for number in range(100)]
    chosen = next(name for name in names if is_chosen("start", canary, name, percent))
    other = next(name for name in names if not is_chosen("start", canary, name, percent))
    return await stack.token(organisation, chosen), await stack.token(organisation, other)


async def test_a_faulty_version_is_ended_by_itself_with_the_figures_in_the_log(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = await versions(stack, upstream.url, FAULTY, ECHO)
        await start(stack, organisation, calls=40)
        chosen, other = await one_of_each(stack, organisation)

        async def is_tried() -> bool:
            edges = range(stack.replicas)
            return all(["error" in await call(stack, organisation, chosen, edge) for edge in edges])

        await eventually(is_tried)
        for number in range(8):
            assert "error" in await call(stack, organisation, chosen, number % stack.replicas)
            assert "error" not in await call(stack, organisation, other, number % stack.replicas)

        for _ in range(32):
            await call(stack, organisation, chosen)

        async def is_ended() -> list[dict[str, Any]]:
            return await events(stack, organisation, "canary_ended")

        (ended,) = await eventually(is_ended, every=0.5)
        assert (ended["event"]["reason"], ended["event"]["tried"]) == ("failed", 1)
        assert ended["actor"] == "callboard/canary"
        assert ended["comment"].startswith("errors 100% is over 10% in ")
        assert " of version 1 (errors 0% in " in ended["comment"]

        async def is_over() -> bool:
            return "error" not in await call(stack, organisation, chosen)

        for _ in range(4):
            await eventually(is_over)
        history = (await stack.cli_json("playbook", "history", f"{organisation}/start"))["versions"]
        assert [line["version"] for line in history] == [2, 1], "nothing was published"


async def test_a_canary_goes_on_after_every_router_and_projections_was_killed(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = await versions(stack, upstream.url, FAULTY, ECHO)
        await start(stack, organisation, calls=30)
        chosen, other = await one_of_each(stack, organisation)
        for name in stack.pids():
            if name.startswith(("router", "projections")):
                stack.kill(name)
        await stack.ready(30)

        async def is_tried() -> bool:
            answers = [await call(stack, organisation, token) for token in (chosen, other)]
            return ["error" in answer for answer in answers] == [True, False]

        for _ in range(4):
            await eventually(is_tried, every=0.2)

        async def is_ended() -> list[dict[str, Any]]:
            for _ in range(10):
                await call(stack, organisation, chosen)
            return await events(stack, organisation, "canary_ended")

        (ended,) = await eventually(is_ended, within=40, every=0.5)
        assert ended["event"]["reason"] == "failed"


async def test_a_version_that_did_well_is_promoted_by_itself_when_its_time_is_over(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = await versions(stack, upstream.url, MARK, ECHO)
        await start(stack, organisation, "errors > 10% or p99 > 60000ms", percent=100, until="6s")
        token = await stack.token(organisation)
        for _ in range(6):
            assert "error" not in await call(stack, organisation, token)

        async def is_promoted() -> list[dict[str, Any]]:
            return await events(stack, organisation, "canary_promoted")

        (promoted,) = await eventually(is_promoted, every=0.5)
        assert promoted["comment"].startswith("errors 0%, p99 ")
        history = (await stack.cli_json("playbook", "history", f"{organisation}/start"))["versions"]
        assert (history[0]["version"], history[0]["reason"]) == (3, "promoted")
        assert history[0]["content_digest"] == history[2]["content_digest"]
        _, out, _ = await stack.cli("playbook", "history", f"{organisation}/start")
        assert "promoted 1" in out


async def test_a_version_that_nobody_called_is_not_promoted(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = await versions(stack, upstream.url, MARK, ECHO)
        await start(stack, organisation, until="1s")

        async def is_ended() -> list[dict[str, Any]]:
            return await events(stack, organisation, "canary_ended")

        (ended,) = await eventually(is_ended, every=0.5)
        assert ended["event"]["reason"] == "inconclusive"
        assert "0 calls of version 1; 5 were needed" in ended["comment"]


async def test_the_share_of_many_clients_is_about_the_percentage_and_each_stays_where_it_is(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = await versions(stack, upstream.url, {"allow": ["mark"]}, ECHO)
        await start(stack, organisation, percent=40)
        (started,) = await events(stack, organisation, "canary_started")

        async def version(client: str) -> int:
            seen = await asyncio.to_thread(_preview, stack, organisation, client)
            return int(seen["version"])

        names = [f"client-{number}" for number in range(60)]
        found = [await version(name) for name in names]
        expected = [1 if is_chosen("start", started["event"]["canary"], name, 40) else 2 for name in names]
        assert found == expected == [await version(name) for name in names]
        assert 10 <= found.count(1) <= 38

        # Those who really call are served what the preview says.
        for name in names[:4]:
            token = await stack.token(organisation, name)
            for edge in range(stack.replicas):
                answer = await stack.rpc(stack.endpoint(organisation, "start", edge), "tools/list", {}, token)
                (tool,) = answer.json()["result"]["tools"]
                assert tool["name"] == ("mark" if expected[names.index(name)] == 1 else "echo")


def _preview(stack: Stack, organisation: str, client: str) -> dict[str, Any]:
    url = f"{stack.url}/api/v1/organisations/{organisation}/playbooks/start/preview"
    headers = {"Authorization": f"Bearer {stack.admin_token}"}
    found: dict[str, Any] = httpx2.get(url, params={"client": client}, headers=headers).json()
    return found


async def test_a_pin_wins_over_a_canary_and_a_url_over_both(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = await versions(stack, upstream.url, {"allow": ["mark"]}, ECHO)
        name = f"{organisation}/start"
        await start(stack, organisation, percent=100)
        await stack.cli("playbook", "pin", name, "ann", "@2", "-m", "not she")

        def tools(client: str, version: str = "") -> Any:
            async def seen() -> list[str]:
                found = await stack.cli_json("playbook", "preview", name + version, "--as", client)
                return [tool["name"] for page in found["lists"]["tools/list"] for tool in page["tools"]]

            return seen()

        assert await tools("ann") == ["echo"]
        assert await tools("bob") == ["mark"]
        assert await tools("bob", "@2") == ["echo"]
        assert await tools("ann", "@1") == ["mark"]


async def test_an_operator_stops_or_promotes_a_canary_and_sees_it_meanwhile(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = await versions(stack, upstream.url, MARK, ECHO)
        name = f"{organisation}/start"
        await start(stack, organisation)
        _, out, _ = await stack.cli("playbook", "ls", "--org", organisation)
        assert "@1 50 %" in out
        _, out, _ = await stack.cli("playbook", "show", f"{name}@1")
        assert "is tried, @1 for 50 %" in out
        _, _, err = await stack.cli("playbook", "history", name)
        assert "a canary runs: @1 for 50 %" in err
        again = ("@1", "--percent", "1", "--until", "1h", "--rollback-if", "errors > 1%", "-m", "x")
        code, _, err = await stack.cli("playbook", "canary", name, *again, ok=False)
        assert (code, "canary.running" in err) == (1, True)
        planned = await stack.cli_json("playbook", "rollback", name, "--to", "1", "--dry-run")
        assert any(note.startswith("the canary of version 1 ends") for note in planned["notes"])
        await stack.cli("playbook", "canary", name, "--stop", "-m", "enough")
        code, _, err = await stack.cli("playbook", "canary", name, "--promote", "-m", "x", ok=False)
        assert (code, "canary.unknown" in err) == (1, True)
        await start(stack, organisation)
        await stack.cli("playbook", "canary", name, "--promote", "-m", "good")
        shown = await stack.cli_json("playbook", "show", name)
        assert (shown["line"]["version"], shown["line"]["comment"], shown["canary"]) == (3, "good", None)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("@2", "--percent", "1", "--until", "1h", "--rollback-if", "errors > 1%"), "is what everybody is served"),
        (("@1", "--percent", "0", "--until", "1h", "--rollback-if", "errors > 1%"), "is not over 0"),
        (("@1", "--percent", "1", "--until", "1h", "--rollback-if", "errors < 1%"), "is no condition; write"),
        (("@1", "--percent", "1", "--until", "yesterday", "--rollback-if", "errors > 1%"), "is no time to come"),
        (("@1", "--percent", "1"), "give @N, --percent, --until and --rollback-if"),
    ],
)
async def test_a_canary_that_makes_no_sense_is_refused_with_a_reason(
    stack: Stack, words: tuple[str, ...], why: str
) -> None:
    async with running("echo") as upstream:
        organisation = await versions(stack, upstream.url, MARK, ECHO)
        code, _, err = await stack.cli("playbook", "canary", f"{organisation}/start", *words, "-m", "x", ok=False)
        assert code in (1, 2)
        assert why in err
