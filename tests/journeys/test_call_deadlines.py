"""Deadlines as people write them down: per server, per tool, as a part of the version; and what agents are told."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import published
from tests.support.speaker import Heard, speaker
from tests.support.stack import Stack
from tests.support.telling import playbook_of
from tests.support.upstreams.launch import command, running
from tests.support.waiting import Stalls, eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session")]


def limited(server: dict[str, Any], tools: dict[str, Any]) -> str:
    return playbook_of({"up": server}, {"up": {"names": "none", "tools": {"deadlines": tools}}})


def stepping(steps: int, then: float = 0.0, text: str = "") -> dict[str, Any]:
    return {"steps": steps, "interval": 0.2, "seconds": then, "text": text}


def told_why(heard: Heard) -> tuple[str, str]:
    data = heard.error["data"]
    return data["code"], data["limit"]


def lines(ledger: Path) -> list[str]:
    return ledger.read_text().split() if ledger.exists() else []


# Each pair of client, upstream and transport once.
@pytest.mark.parametrize(
    ("client", "upstream", "transport"),
    [("2025", "2025", "http"), ("2026", "2026", "http"), ("2025", "2026", "stdio"), ("2026", "2025", "stdio")],
)
async def test_progress_keeps_a_call_alive_and_silence_or_the_end_stops_it_upstream_too(
    stack: Stack, client: str, upstream: str, transport: str, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    words = ("--era", upstream, "--ledger", str(ledger))
    async with running("echo", *words) as echo:
        server = {"url": echo.url} if transport == "http" else {"command": command("echo", "--stdio", *words)}
        limits = {"progress": {"idle_seconds": 1.5, "max_seconds": 5}, "*": {"max_seconds": 1}}
        organisation, token = await published(stack, limited(server, limits))
        async with speaker(stack, organisation, token, client) as one:
            wanted = {"_meta": {"progressToken": "mine"}}
            alive, unasked, silent, endless, slow = await asyncio.gather(
                one.call("progress", stepping(12), **wanted),
                one.call("progress", stepping(12)),
                one.call("progress", stepping(2, 60, "silent"), **wanted),
                one.call("progress", stepping(1000, 0, "endless")),
                one.call("slow", {"seconds": 60, "text": "slow"}),
            )
        assert alive.text == unasked.text == "12 steps"
        assert [said["progress"] for said in alive.notified("notifications/progress")] == list(range(1, 13))
        assert unasked.notified("notifications/progress") == []
        assert told_why(silent) == ("call.deadline_exceeded", "idle_seconds")
        assert told_why(endless) == ("call.deadline_exceeded", "max_seconds")
        assert told_why(slow) == ("call.deadline_exceeded", "max_seconds")
        stopped = {"cancelled:silent", "cancelled:endless", "cancelled:slow"}
        await eventually(lambda: stopped <= set(lines(ledger)))


async def test_the_deadlines_of_a_server_hold_where_the_tool_has_none(stack: Stack) -> None:
    async with running("echo") as echo:
        server = {"url": echo.url, "deadlines": {"idle_seconds": 0.5, "max_seconds": 30}}
        text = limited(server, {"slow": {"idle_seconds": 20}})
        organisation, token = await published(stack, text)
        async with speaker(stack, organisation, token, "2026") as one:
            cut, whole = await asyncio.gather(
                one.call("progress", {"steps": 1, "interval": 0, "seconds": 10}),
                one.call("slow", {"seconds": 1.5, "text": "whole"}),
            )
        assert told_why(cut) == ("call.deadline_exceeded", "idle_seconds")
        assert cut.error["data"]["seconds"] == 0.5
        assert whole.text == "whole"


async def test_deadlines_are_a_part_of_the_version(stack: Stack) -> None:
    async with running("echo") as echo:
        body = json.loads(limited({"url": echo.url}, {"*": {"max_seconds": 0.5}}))
        organisation, token = await published(stack, json.dumps(body))
        body["organisation"] = organisation
        use = body["playbooks"]["p"]["servers"]["up"]
        use["tools"]["deadlines"] = {"*": {"max_seconds": 0.5}, "slow": {"idle_seconds": 5, "max_seconds": 9}}
        await stack.apply(json.dumps(body), "slow may take longer")
        changes = await stack.cli_json("playbook", "diff", f"{organisation}/p@1", f"{organisation}/p@2")
        assert [(change["kind"], change["path"]) for change in changes["changes"]] == [
            ("added", "servers.up.tools.deadlines.slow")
        ]
        async with speaker(stack, organisation, token, "2026") as one:
            assert (await one.call("slow", {"seconds": 1, "text": "long enough"})).text == "long enough"
            await stack.cli("playbook", "rollback", f"{organisation}/p", "--to", "1", "-m", "no, it may not")
            async with Stalls() as watch:
                cut = await one.call("slow", {"seconds": 20, "text": "x"})
                assert told_why(cut) == ("call.deadline_exceeded", "max_seconds")
                assert watch.elapsed < 5


@pytest.mark.parametrize(
    ("deadlines", "word"),
    [
        ("{'*': {idle_seconds: 30, max_seconds: 20}}", "longer than"),
        ("{'*': {max_seconds: 0}}", "more than 0"),
        ("{'*': {idle_seconds: -1}}", "more than 0"),
        ("{'*': {seconds: 5}}", "seconds"),
        ("{'*': {}}", "max_seconds"),
    ],
)
async def test_a_deadline_that_cannot_be_is_refused_with_its_line(stack: Stack, deadlines: str, word: str) -> None:
    file = stack.directory / "bad-deadline.yaml"
    file.write_text(
        "version: 1\norganisation: acme\nservers:\n  up: {url: http://127.0.0.1:1/mcp}\nplaybooks:\n  p:\n"
        f"    servers:\n      up:\n        tools:\n          deadlines: {deadlines}\n"
    )
    code, _, err = await stack.cli("apply", "-f", str(file), "-m", "no", ok=False)
    assert code == 2
    assert "bad-deadline.yaml:10:" in err
    assert word in err
