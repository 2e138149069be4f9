"""WebSocket towards clients: both eras on one socket, tokens that are in no URL, and every way in which it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.agents import one_server, published
from tests.support.callers import ledger_lines
from tests.support.carriers import socket_url
from tests.support.stack import META, Stack
from tests.support.upstreams.launch import running
from tests.support.waiting import PATIENCE, eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session")]
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
ONLY_A_PROMPT = '{"version": 1, "organisation": "ORG", "playbooks": {"p": {"prompts": {"h": {"template": "hi"}}}}}'


class Talk:
    """A socket in the hands of a test."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.others: list[dict[str, Any]] = []

    async def say(self, message: Any) -> None:
        await self.socket.send(message if isinstance(message, str | bytes) else json.dumps(message))

    async def ask(self, id: Any, method: str, params: dict[str, Any] | None = None, *, modern: bool = True) -> None:
        body = {"_meta": META, **(params or {})} if modern else params or {}
        await self.say({"jsonrpc": "2.0", "id": id, "method": method, "params": body})

    async def tell(self, method: str, **params: Any) -> None:
        await self.say({"jsonrpc": "2.0", "method": method, "params": params})

    async def answer(self, id: Any, within: float = PATIENCE) -> dict[str, Any]:
        async with asyncio.timeout(within):
            while True:
                message: dict[str, Any] = json.loads(await self.socket.recv())
                if message.get("id") == id and "method" not in message:
                    return message
                self.others.append(message)

    async def begin(self) -> None:
        await self.ask("init", "initialize", HELLO, modern=False)
        assert (await self.answer("init"))["result"]["serverInfo"]["name"] == "callboard"
        await self.tell("notifications/initialized")

    async def closed(self, within: float = PATIENCE) -> int | None:
        """The code it is closed with."""
        async with asyncio.timeout(within):
            try:
                while True:
                    await self.socket.recv()
            except ConnectionClosed as end:
                return end.rcvd.code if end.rcvd is not None else None


@asynccontextmanager
async def talking(url: str, token: str = "", **more: Any) -> AsyncIterator[Talk]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    options = {"subprotocols": ["mcp"], "additional_headers": headers, "max_size": None, **more}
    async with connect(url, **options) as socket:
        assert socket.subprotocol == "mcp"
        yield Talk(socket)


async def refused(url: str, token: str = "", **more: Any) -> int:
    with pytest.raises(InvalidStatus) as raised:
        async with talking(url, token, **more):
            pass
    return int(raised.value.response.status_code)


async def test_both_eras_on_one_socket(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        async with talking(socket_url(stack, organisation, "p"), token) as talk:
            await talk.ask(1, "tools/list", modern=False)
            assert "initialize" in (await talk.answer(1))["error"]["message"]
            await talk.begin()
            await talk.ask(2, "tools/call", {"name": "echo", "arguments": {"text": "old"}}, modern=False)
            old = (await talk.answer(2))["result"]
            await talk.ask(3, "tools/call", {"name": "echo", "arguments": {"text": "new"}})
            new = (await talk.answer(3))["result"]
            assert [old["content"][0]["text"], new["content"][0]["text"]] == ["old", "new"]
            await talk.ask(4, "server/discover")
            assert "2026-07-28" in (await talk.answer(4))["result"]["supportedVersions"]
            meta = {"_meta": {**META, "io.modelcontextprotocol/protocolVersion": "2031-01-01"}}
            await talk.ask(5, "tools/list", meta)
            assert (await talk.answer(5))["error"]["code"] == -32022
            await talk.ask(6, "tools/list", {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}})
            assert (await talk.answer(6))["error"]["code"] == -32602
            await talk.ask(7, "no/such")
            assert (await talk.answer(7))["error"]["code"] == -32601


async def test_arguments_that_travel_in_headers_elsewhere_need_none_here(stack: Stack) -> None:
    async with running("everything") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        async with talking(socket_url(stack, organisation, "p"), token) as talk:
            call = {"name": "test_x_mcp_header", "arguments": {"region": "Zürich", "priority": 3}}
            await talk.ask(1, "tools/call", call)
            assert "result" in await talk.answer(1)


async def test_a_subscription_and_calls_share_a_socket_and_each_can_be_cancelled(stack: Stack, tmp_path: Path) -> None:
    async with running("echo", "--ledger", tmp_path / "ledger") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        async with talking(socket_url(stack, organisation, "p", stack.replicas - 1), token) as talk:
            await talk.ask("sub", "subscriptions/listen", {"notifications": {"toolsListChanged": True}})
            for number, modern in enumerate((True, False)):
                if not modern:
                    await talk.begin()
                call = {"name": "slow", "arguments": {"seconds": 60, "text": f"t{number}"}}
                await talk.ask(number, "tools/call", call, modern=modern)
                await eventually(lambda text=f"t{number}": text in ledger_lines(tmp_path / "ledger"))
                await talk.tell("notifications/cancelled", requestId=number)
                line = f"cancelled:t{number}"
                await eventually(lambda line=line: line in ledger_lines(tmp_path / "ledger"))
            await talk.tell("notifications/cancelled", requestId="sub")
            await talk.ask("on", "ping", modern=False)
            await talk.answer("on")
            assert [m["method"] for m in talk.others] == ["notifications/subscriptions/acknowledged"]


async def test_the_end_of_a_socket_cancels_its_calls(stack: Stack, tmp_path: Path) -> None:
    async with running("echo", "--ledger", tmp_path / "ledger") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        async with talking(socket_url(stack, organisation, "p"), token) as talk:
            await talk.ask(1, "tools/call", {"name": "slow", "arguments": {"seconds": 60, "text": "long"}})
            await eventually(lambda: ledger_lines(tmp_path / "ledger") == ["long"])
        await eventually(lambda: "cancelled:long" in ledger_lines(tmp_path / "ledger"))


async def test_what_is_no_message_is_told_and_the_socket_stays(stack: Stack) -> None:
    organisation, token = await published(stack, ONLY_A_PROMPT)
    async with talking(socket_url(stack, organisation, "p"), token) as talk:
        for text, code in (
            ("{nonsense", -32700),
            ("[]", -32600),
            ('{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', -32600),
            ('{"jsonrpc":"2.0"}', -32600),
        ):
            await talk.say(text)
            assert (await talk.answer(None))["error"]["code"] == code
        await talk.begin()
        await talk.ask(1, "ping", modern=False)
        assert "result" in await talk.answer(1)


async def test_requests_in_flight_are_bounded_and_an_id_is_used_once_at_a_time(stack: Stack, tmp_path: Path) -> None:
    async with running("echo", "--ledger", tmp_path / "ledger") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        async with talking(socket_url(stack, organisation, "p"), token) as talk:
            for number in range(128):
                await talk.ask(number, "tools/call", {"name": "slow", "arguments": {"seconds": 30, "text": "x"}})
            await talk.ask(5, "prompts/list")
            assert "under way" in (await talk.answer(None))["error"]["message"]
            await talk.ask("more", "prompts/list")
            assert (await talk.answer("more"))["error"]["data"]["code"] == "session.busy"
            await talk.tell("notifications/cancelled", requestId=7)
            await talk.ask("again", "tools/list")
            assert "result" in await talk.answer("again")


@pytest.mark.parametrize(
    ("what", "code"), [(b"\x00\x01", 1003), ("x" * 5_000_000, 1009)], ids=["a binary frame", "a message over the limit"]
)
async def test_what_is_not_taken_closes_the_socket(stack: Stack, what: str | bytes, code: int) -> None:
    organisation, token = await published(stack, ONLY_A_PROMPT)
    async with talking(socket_url(stack, organisation, "p"), token, compression=None) as talk:
        with suppress(ConnectionClosed):
            await talk.say(what)
        assert await talk.closed() == code


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"token": ""}, 401),
        ({"token": "cbk_wrong"}, 401),
        ({"origin": "http://evil.example.com"}, 403),
        ({"path": "p/mcp"}, 404),
        ({"path": "other/ws"}, 404),
        ({"path": "p@9/ws"}, 404),
        ({"path": "p/ws?access_token=x"}, 400),
        ({"subprotocols": None}, 400),
        ({"subprotocols": ["other"]}, 400),
        ({"token": "", "subprotocols": ["mcp", "callboard.token.nonsense"]}, 401),
    ],
    ids=lambda value: str(value),
)
async def test_a_socket_is_refused_before_it_opens(stack: Stack, change: dict[str, Any], status: int) -> None:
    organisation, token = await published(stack, ONLY_A_PROMPT)
    path = change.pop("path", "p/ws")
    url = f"ws://127.0.0.1:{stack.port}/p/{organisation}/{path}"
    change = dict(change)
    assert await refused(url, change.pop("token", token), **change) == status


async def issued(stack: Stack, organisation: str, token: str, edge: int = 0) -> httpx2.Response:
    async with httpx2.AsyncClient(timeout=PATIENCE, headers={"Authorization": f"Bearer {token}"}) as http:
        return await http.post(f"{stack.urls[edge]}/p/{organisation}/p/ws")


async def test_a_session_token_opens_one_socket_to_its_playbook_at_any_edge(stack: Stack) -> None:
    text = json.loads(ONLY_A_PROMPT)
    text["playbooks"]["q"] = text["playbooks"]["p"]
    organisation, token = await published(stack, json.dumps(text))
    url, other = socket_url(stack, organisation, "p", stack.replicas - 1), socket_url(stack, organisation, "q")
    answer = await issued(stack, organisation, token)
    assert answer.headers["cache-control"] == "no-store"
    given = answer.json()
    assert given["subprotocols"] == ["mcp", f"callboard.token.{given['token']}"]
    assert token not in answer.text
    async with talking(url, subprotocols=given["subprotocols"]) as talk:
        await talk.ask(1, "prompts/list")
        assert (await talk.answer(1))["result"]["prompts"]
        assert talk.socket.response is not None
        assert given["token"] not in str(talk.socket.response.headers)
    assert await refused(url, subprotocols=given["subprotocols"]) == 401
    elsewhere = (await issued(stack, organisation, token)).json()["subprotocols"]
    assert await refused(other, subprotocols=elsewhere) == 401
    fresh = (await issued(stack, organisation, token)).json()["subprotocols"]
    assert await refused(url, subprotocols=[fresh[0], fresh[1][:-1] + ("A" if fresh[1][-1] != "A" else "Q")]) == 401


async def test_of_many_who_use_the_same_session_token_one_gets_in(stack: Stack) -> None:
    organisation, token = await published(stack, ONLY_A_PROMPT)
    offer = (await issued(stack, organisation, token)).json()["subprotocols"]

    async def enter(edge: int) -> int:
        try:
            async with talking(socket_url(stack, organisation, "p", edge), subprotocols=offer):
                return 101
        except InvalidStatus as answer:
            return answer.response.status_code

    entered = await asyncio.gather(*(enter(number % stack.replicas) for number in range(8)))
    assert sorted(entered) == [101, *[401] * 7]


async def test_a_session_token_is_given_only_for_a_token(stack: Stack) -> None:
    organisation, _ = await published(stack, ONLY_A_PROMPT)
    async with httpx2.AsyncClient(timeout=PATIENCE) as http:
        assert (await http.post(f"{stack.url}/p/{organisation}/p/ws")).status_code == 401
    assert (await issued(stack, organisation, "cbk_wrong")).status_code == 401


async def test_a_revocation_closes_sockets_and_voids_session_tokens(stack: Stack) -> None:
    organisation, _ = await published(stack, ONLY_A_PROMPT)
    made = await stack.cli_json("token", "issue", "agent-2", "--org", organisation)
    url = socket_url(stack, organisation, "p", stack.replicas - 1)
    offer = (await issued(stack, organisation, made["token"])).json()["subprotocols"]
    spare = (await issued(stack, organisation, made["token"])).json()["subprotocols"]
    async with talking(url, made["token"]) as one, talking(url, subprotocols=offer) as two:
        await stack.cli("token", "revoke", made["key_id"], "--org", organisation)
        assert [await one.closed(), await two.closed()] == [4401, 4401]
    assert await refused(url, subprotocols=spare) == 401


async def test_a_socket_ends_when_its_token_expires(stack: Stack) -> None:
    organisation, _ = await published(stack, ONLY_A_PROMPT)
    token = await stack.token(organisation, "short", "--expires", "3s")
    async with talking(socket_url(stack, organisation, "p"), token) as talk:
        assert await talk.closed() == 4401


async def test_an_edge_that_stops_lets_calls_end_and_says_that_one_may_connect_again(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        edge = stack.replicas - 1
        listening = process_at(stack.port + edge)
        url = socket_url(stack, organisation, "p", edge)
        async with talking(url, token) as busy, talking(url, token) as idle:
            await busy.ask(0, "tools/call", {"name": "echo", "arguments": {"text": "warm"}})
            await busy.answer(0)
            await busy.ask(1, "tools/call", {"name": "progress", "arguments": {"steps": 3, "interval": 0.1}})
            await busy.ask(2, "tools/call", {"name": "slow", "arguments": {"seconds": 30}})
            os.kill(listening, signal.SIGTERM)
            assert "result" in await busy.answer(1)
            assert [await idle.closed(), await busy.closed()] == [1012, 1012]
        await eventually(lambda: listening not in stack.pids().values())
        await stack.ready(30)
        async with talking(url, token) as again:
            await again.ask(1, "tools/list")
            assert "result" in await again.answer(1)


async def test_the_calls_of_a_client_that_does_not_read_are_given_up_and_others_go_on(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        url = socket_url(stack, organisation, "p")
        edge = psutil.Process(process_at(stack.port))
        async with talking(url, token, max_queue=1) as deaf, talking(url, token) as other:
            before = edge.memory_info().rss
            for number in range(4):
                meta = {"_meta": {**META, "progressToken": f"token-{number}-{'x' * 2000}"}}
                await deaf.ask(number, "tools/call", {"name": "progress", "arguments": {"steps": 30_000}, **meta})
            await other.begin()
            for number in range(50):
                await other.ask(number, "ping", modern=False)
                assert "result" in await other.answer(number)
            await eventually(lambda: given_up(stack), every=0.2)
            grown = edge.memory_info().rss - before
            assert grown < 200_000_000, grown


def process_at(port: int) -> int:
    """Who listens there."""
    found = (c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr.port == port)
    pid = next(found).pid
    assert pid is not None
    return pid


async def given_up(stack: Stack) -> bool:
    async with httpx2.AsyncClient(timeout=PATIENCE) as http:
        text = (await http.get(f"{stack.url}/metrics")).text
    return "callboard_calls_in_flight 0.0" in text
