"""The bridge as a process: how it ends, what it carries, and that stdout has nothing but messages."""

from __future__ import annotations

import asyncio
import json
import signal

import pytest

from tests.bridge.desktops import plain
from tests.bridge.scripted import Seen, scripted
from tests.bridge.test_sessions import Server
from tests.support.waiting import PATIENCE, Stalls, eventually


async def test_a_line_of_ten_megabytes_goes_up_and_one_comes_down_unchanged() -> None:
    async def script(one: Seen) -> None:
        one.json(200, result={"content": one.message["params"]["arguments"]})

    async with scripted(script) as http, plain(http.url) as client:
        text = "x\u00e9\u2028" * 2_500_000
        line = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        arguments = {"name": "big", "arguments": text, "_meta": {}}
        client.send(json.dumps({**line, "params": arguments}, ensure_ascii=False).encode())
        answer = await client.answer(1, within=30)
        assert answer["result"]["content"] == text
        client.send({**line, "id": 2, "params": {"name": "small", "arguments": "on"}})
        assert (await client.answer(2))["result"]["content"] == "on"


async def never(one: Seen) -> None:
    if one.rpc in ("initialize", "notifications/initialized"):
        await Server()(one)
    else:
        await asyncio.Event().wait()


@pytest.mark.parametrize("end", ["stdin", "SIGTERM", "SIGINT"])
async def test_it_ends_within_a_second_also_when_the_server_answers_nothing_any_more(end: str) -> None:
    async with scripted(never) as http, plain(http.url) as client:
        await client.open()
        client.ask(1, "tools/call", {"name": "x"}, modern=False)
        await eventually(lambda: http.of("tools/call"))
        async with Stalls() as stalls:
            if end == "stdin":
                assert await client.close() == 0
            else:
                client.process.send_signal(signal.Signals[end])
                assert await asyncio.wait_for(client.process.wait(), PATIENCE) == 0
            assert stalls.elapsed < 1.5  # a second, and a look at the clock
        assert client.faults == []
        assert b"Traceback" not in client.errors


async def test_told_to_end_it_ends_its_session_too() -> None:
    async with scripted(Server()) as http, plain(http.url) as client:
        await client.open()
        client.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(client.process.wait(), PATIENCE) == 0
        (deleted,) = [one for one in http.seen if one.method == "DELETE"]
        assert deleted.headers["mcp-session-id"] == "s1"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed_because_the_token_is_for_this_place_only(status: int) -> None:
    async with scripted(never) as elsewhere:

        async def script(one: Seen) -> None:
            one.raw(status, b"", f"Location: {elsewhere.url}")

        async with scripted(script) as http, plain(http.url, "a-token") as client:
            client.ask(1, "tools/list")
            error = (await client.answer(1))["error"]
            assert f"HTTP {status}: it is at {elsewhere.url}" in error["message"]
            assert elsewhere.seen == []
