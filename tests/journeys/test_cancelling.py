"""A cancellation stops the upstream request of its own call, whichever way it comes, and no other."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.support.agents import published
from tests.support.speaker import ERAS, Heard, Speaker, speaker
from tests.support.stack import Stack
from tests.support.telling import playbook_of
from tests.support.upstreams.launch import command, running
from tests.support.waiting import PATIENCE, eventually, promised

pytestmark = [pytest.mark.asyncio(loop_scope="session")]
CALLS, CANCELLED = 50, 10


def lines(ledger: Path) -> list[str]:
    return ledger.read_text().split() if ledger.exists() else []


async def stop(one: Speaker, number: int, call: asyncio.Task[Heard]) -> None:
    """As a client of this era does: close the stream, or say so at whatever edge."""
    if one.era == "2026":
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    else:
        await one.tell("notifications/cancelled", requestId=number, reason="not needed any more")


@pytest.mark.parametrize("client", ERAS)
@pytest.mark.parametrize("upstream", ERAS)
@pytest.mark.parametrize("transport", ["http", "stdio"])
async def test_ten_of_fifty_calls_are_cancelled_and_those_only(
    stack: Stack, client: str, upstream: str, transport: str, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    words = ("--era", upstream, "--ledger", str(ledger))
    async with running("echo", *words) as echo:
        server = {"url": echo.url} if transport == "http" else {"command": command("echo", "--stdio", *words)}
        text = playbook_of({"up": server}, {"up": {"tools": {"deadlines": {"progress": {"max_seconds": 3}}}}})
        organisation, token = await published(stack, text)
        async with speaker(stack, organisation, token, client) as one:
            late = asyncio.ensure_future(
                one.call("up__progress", {"steps": 1, "interval": 30, "text": "late"}, id=1000)
            )
            chosen = random.sample(range(1, CALLS + 1), CANCELLED)
            calls = {
                number: asyncio.ensure_future(
                    one.call("up__slow", {"seconds": 60 if number in chosen else 3, "text": f"call{number}"}, id=number)
                )
                for number in range(1, CALLS + 1)
            }
            await eventually(lambda: len([line for line in lines(ledger) if "call" in line]) == CALLS)
            await asyncio.gather(*(stop(one, number, calls[number]) for number in chosen))
            expected = {f"cancelled:call{number}" for number in chosen}
            await promised(lambda: expected <= set(lines(ledger)), within=5)
            answers = {number: await call for number, call in calls.items() if number not in chosen}
            assert {number: heard.text for number, heard in answers.items()} == {
                number: f"call{number}" for number in answers
            }
            assert (await late).error["data"]["code"] == "call.deadline_exceeded"
        said = {line for line in lines(ledger) if line.startswith("cancelled:")}
        assert said == expected | {"cancelled:late"}


async def test_a_cancellation_of_another_session_stops_nothing(stack: Stack, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with running("echo", "--ledger", str(ledger)) as echo:
        organisation, token = await published(stack, playbook_of({"up": {"url": echo.url}}))
        async with (
            speaker(stack, organisation, token, "2025") as one,
            speaker(stack, organisation, token, "2025") as other,
        ):
            call = asyncio.ensure_future(one.call("up__slow", {"seconds": 1.5, "text": "mine"}, id=7))
            await eventually(lambda: "mine" in lines(ledger))
            await other.tell("notifications/cancelled", requestId=7)
            await other.tell("notifications/cancelled", requestId="7")
            await one.tell("notifications/cancelled", requestId="7")
            assert (await call).text == "mine"
        assert lines(ledger) == ["mine"]


@pytest.mark.parametrize("end", ["revoked", "expired"])
async def test_the_end_of_a_token_ends_its_calls_and_no_others(stack: Stack, end: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with running("echo", "--ledger", str(ledger)) as echo:
        organisation, other = await published(stack, playbook_of({"up": {"url": echo.url}}))
        life = ("--expires", "6s") if end == "expired" else ()
        made = await stack.cli_json("token", "issue", "agent-2", "--org", organisation, *life)
        async with (
            speaker(stack, organisation, other, "2026") as stays,
            speaker(stack, organisation, made["token"], "2025") as handshake,
            speaker(stack, organisation, made["token"], "2026") as stateless,
        ):
            good = asyncio.ensure_future(stays.call("up__slow", {"seconds": 10, "text": "good"}))
            ending = [
                asyncio.ensure_future(one.call("up__slow", {"seconds": 60, "text": one.era}))
                for one in (handshake, stateless)
            ]
            await eventually(lambda: set(lines(ledger)) == {"good", "2025", "2026"})
            if end == "revoked":
                await stack.cli("token", "revoke", made["key_id"], "--org", organisation)
            for heard in await asyncio.wait_for(asyncio.gather(*ending), PATIENCE):
                assert heard.error["data"]["code"] == "call.cancelled"
            await eventually(lambda: {"cancelled:2025", "cancelled:2026"} <= set(lines(ledger)))
            assert (await good).text == "good"
