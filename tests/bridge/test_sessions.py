"""The handshake era against a scripted server: what is sent, what is sent again, and what never is."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

from tests.bridge.desktops import INITIALIZE, Plain, plain
from tests.bridge.scripted import Scripted, Seen, scripted
from tests.support.waiting import eventually

RESULT = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {"listChanged": True}, "resources": {"subscribe": True}},
    "serverInfo": {"name": "scripted", "version": "1"},
}


class Server:
    """A server with sessions; `forget` makes it answer 404 to the ones it has given so far."""

    def __init__(self) -> None:
        self.sessions = 0
        self.forgotten = 0
        self.held: list[Seen] = []
        self.streams: list[Seen] = []

    def forget(self) -> None:
        self.forgotten = self.sessions

    async def __call__(self, one: Seen) -> None:
        session = int(one.headers.get("mcp-session-id", "s0")[1:])
        if one.rpc == "initialize":
            self.sessions += 1
            one.json(200, f"Mcp-Session-Id: s{self.sessions}", result=RESULT)
        elif session <= self.forgotten:
            one.json(404, error={"code": -32001, "message": "Session not found"}) if one.body else one.raw(404, b"")
        elif one.method == "GET":
            one.stream()
            self.streams.append(one)
            await asyncio.Event().wait()
        elif one.rpc == "tools/call" and one.message["params"].get("name") == "held":
            self.held.append(one)
            await asyncio.Event().wait()
        elif one.method == "DELETE" or "id" not in one.message or "method" not in one.message:
            one.raw(202, b"")
        else:
            one.json(200, result={})


async def test_a_forgotten_session_is_opened_again_with_what_the_client_said() -> None:
    server = Server()
    async with scripted(server) as http, plain(http.url) as client:
        await client.open()
        for id, method, params in (
            (1, "resources/subscribe", {"uri": "test://a"}),
            (2, "resources/subscribe", {"uri": "test://b"}),
            (3, "resources/unsubscribe", {"uri": "test://b"}),
            (4, "logging/setLevel", {"level": "info"}),
        ):
            client.ask(id, method, params, modern=False)
            await client.answer(id)
        client.ask("held", "tools/call", {"name": "held"}, modern=False)
        await eventually(lambda: server.held and server.streams)
        server.forget()
        for number in range(10, 15):
            client.ask(number, "tools/call", {"name": "free", "arguments": {"n": number}}, modern=False)
        for number in range(10, 15):
            assert "result" in await client.answer(number)
        await client.heard("notifications/tools/list_changed")
        await client.heard("notifications/resources/updated")
        assert [n["params"]["uri"] for n in client.notifications if "updated" in n["method"]] == ["test://a"]
        first, second = http.of("initialize")
        assert first.body == second.body
        assert "mcp-protocol-version" not in second.headers
        # Calls that were on their way when the session went arrive with the old one, and are sent again.
        after = [one for one in http.seen[http.seen.index(second) + 1 :] if one.headers["mcp-session-id"] != "s1"]
        assert [one.rpc for one in after[:3]] == [
            "notifications/initialized",
            "resources/subscribe",
            "logging/setLevel",
        ]
        assert {one.headers["mcp-session-id"] for one in after if one.rpc == "tools/call"} == {"s2"}
        assert len([one for one in http.of("tools/call") if one.message["params"]["name"] == "held"]) == 1
        assert server.streams[-1].headers["mcp-session-id"] == "s2"
        assert server.streams[-1].headers["mcp-protocol-version"] == "2025-11-25"
        assert set(client.answers) >= {"init", 1, 2, 3, 4, 10}
        assert "held" not in client.answers


async def test_a_session_that_is_forgotten_at_once_again_is_told_to_the_client() -> None:
    server = Server()

    async def script(one: Seen) -> None:
        await server(one)
        if one.rpc == "notifications/initialized":
            server.forget()

    async with scripted(script) as http, plain(http.url) as client:
        await client.open()
        await eventually(lambda: http.of("notifications/initialized"))
        client.ask(1, "tools/call", {"name": "free"}, modern=False)
        assert (await client.answer(1))["error"]["message"] == "Session not found"
        assert len(http.of("tools/call")) == 2


async def test_the_end_of_stdin_ends_the_bridge_and_the_session_whatever_is_under_way() -> None:
    server = Server()
    async with scripted(server) as http, plain(http.url) as client:
        await client.open()
        client.ask("held", "tools/call", {"name": "held"}, modern=False)
        await eventually(lambda: server.held)
        began = asyncio.get_running_loop().time()
        assert await client.close() == 0
        assert asyncio.get_running_loop().time() - began < 2
        (deleted,) = [one for one in http.seen if one.method == "DELETE"]
        assert deleted.headers["mcp-session-id"] == "s1"


async def test_a_question_of_the_server_reaches_the_client_and_its_answer_the_server() -> None:
    asked: asyncio.Queue[Seen] = asyncio.Queue()

    async def script(one: Seen) -> None:
        if one.rpc == "tools/call":
            one.stream()
            one.event({"jsonrpc": "2.0", "id": "q-1", "method": "elicitation/create", "params": {"message": "?"}})
            answer = await asked.get()
            one.event({"jsonrpc": "2.0", "id": one.message["id"], "result": answer.message["result"]})
            one.writer.close()
            return
        if one.body and "result" in one.message:
            asked.put_nowait(one)
        await server(one)

    server = Server()
    async with scripted(script) as http, plain(http.url) as client:
        await client.open()
        client.ask(1, "tools/call", {"name": "asks"}, modern=False)
        await client.until(lambda: client.questions)
        client.send({"jsonrpc": "2.0", "id": "q-1", "result": {"action": "decline"}})
        assert (await client.answer(1))["result"] == {"action": "decline"}
        (said,) = [one for one in http.seen if one.body and "result" in one.message]
        assert said.headers["mcp-session-id"] == "s1"


async def test_what_the_client_says_is_posted_in_its_order_and_unchanged() -> None:
    async with scripted(Server()) as http, plain(http.url) as client:
        await client.open()
        lines = [
            b'{ "jsonrpc":"2.0", "method":"notifications/x",  "params":{"n":%d, "f":1.0e2} }' % n for n in range(20)
        ]
        for line in lines:
            client.send(line)
        client.send(b'{"jsonrpc": "2.0", "id": 9007199254740993, "method": "tools/list", "params": {"\\u00e9": 1.10}}')
        await client.answer(9007199254740993)
        bodies = [one.body for one in http.seen if one.rpc in ("notifications/x", "tools/list")]
        assert bodies[:-1] == lines
        assert b'"params": {"\\u00e9": 1.10}}' in bodies[-1]


async def test_a_call_on_a_stream_with_event_ids_is_followed_to_its_end() -> None:
    async def script(one: Seen) -> None:
        if one.rpc == "tools/call":
            one.stream()
            one.event(None, id="e-1")
            await one.writer.drain()
            one.writer.close()
        elif one.headers.get("last-event-id") == "e-1":
            one.stream()
            one.event({"jsonrpc": "2.0", "id": 1, "result": {"late": True}}, id="e-2")
            one.writer.close()
        else:
            await server(one)

    server = Server()
    async with scripted(script) as http, plain(http.url) as client:
        await client.open()
        client.ask(1, "tools/call", {"name": "slow"}, modern=False)
        assert (await client.answer(1))["result"] == {"late": True}
        assert len(http.of("tools/call")) == 1


async def test_requests_wait_for_an_endpoint_that_starts_later() -> None:
    async with scripted(Server()) as early:
        url = early.url
    port = int(url.split(":")[2].split("/")[0])
    async with AsyncExitStack() as stack:
        client: Plain = await stack.enter_async_context(plain(url))
        client.ask("init", "initialize", INITIALIZE, modern=False)
        await client.until(lambda: b"waiting for it" in client.errors)
        http: Scripted = await stack.enter_async_context(scripted(Server(), port))
        assert (await client.answer("init"))["result"] == RESULT
        assert json.loads(http.of("initialize")[0].body)["params"] == INITIALIZE
        await client.close()
