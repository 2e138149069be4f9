"""HTTP+SSE towards clients: a stream, posts that come in at any edge, and what is refused. Nothing is sticky."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.agents import one_server, published
from tests.support.callers import ledger_lines
from tests.support.stack import META, Stack
from tests.support.upstreams.launch import running
from tests.support.waiting import PATIENCE, eventually, promised

pytestmark = [pytest.mark.asyncio(loop_scope="session")]
HELLO = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}


class Session:
    """One stream, and posts to whatever edge a test likes."""

    def __init__(self, stack: Stack, token: str) -> None:
        self.stack = stack
        self.token = token
        self.path = ""
        self.messages: list[dict[str, Any]] = []
        self.over = asyncio.Event()
        self._news = asyncio.Condition()

    async def read(self, answer: httpx2.Response) -> None:
        try:
            await self._events(answer)
        except httpx2.HTTPError:
            return
        finally:
            self.over.set()

    async def _events(self, answer: httpx2.Response) -> None:
        event = ""
        async for line in answer.aiter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                event = value
            elif field == "data":
                async with self._news:
                    if event == "endpoint":
                        self.path = value
                    else:
                        self.messages.append(json.loads(value))
                    self._news.notify_all()

    async def post(self, edge: int, message: Any, token: str = "", path: str = "") -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token or self.token}", "Content-Type": "application/json"}
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        async with httpx2.AsyncClient(timeout=PATIENCE) as http:
            return await http.post(self.stack.urls[edge] + (path or self.path), content=body, headers=headers)

    async def ask(self, edge: int, id: Any, method: str, params: dict[str, Any] | None = None) -> None:
        message = {"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}}
        assert (await self.post(edge, message)).status_code == 202

    async def answer(self, id: Any, within: float = PATIENCE) -> dict[str, Any]:
        def found() -> list[dict[str, Any]]:
            return [m for m in self.messages if m.get("id") == id and "method" not in m]

        async with asyncio.timeout(within), self._news:
            await self._news.wait_for(found)
        return found()[0]

    async def until(self, true: Any, within: float = PATIENCE) -> None:
        async with asyncio.timeout(within), self._news:
            await self._news.wait_for(true)

    async def begin(self) -> None:
        await self.ask(0, "init", "initialize", HELLO)
        assert (await self.answer("init"))["result"]["protocolVersion"] == "2024-11-05"
        last = self.stack.replicas - 1
        assert (await self.post(last, {"jsonrpc": "2.0", "method": "notifications/initialized"})).status_code == 202


@asynccontextmanager
async def opened(
    stack: Stack, organisation: str, token: str, playbook: str = "p", edge: int = 0
) -> AsyncIterator[Session]:
    session = Session(stack, token)
    url = f"{stack.urls[edge]}/p/{organisation}/{playbook}/sse"
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    async with httpx2.AsyncClient(timeout=60) as http, http.stream("GET", url, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        reading = asyncio.ensure_future(session.read(answer))
        try:
            await session.until(lambda: session.path)
            yield session
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def test_posts_at_every_edge_are_answered_on_the_stream_in_order(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        async with opened(stack, organisation, token) as session:
            assert session.path.startswith(f"/p/{organisation}/p/message?sessionId=")
            await session.begin()
            for edge in range(stack.replicas):
                params = {"name": "progress", "arguments": {"steps": 50}, "_meta": {"progressToken": f"t{edge}"}}
                await session.ask(edge, edge, "tools/call", params)
                await session.answer(edge)
                steps = [m["params"]["progress"] for m in session.messages if m.get("method", "").endswith("progress")]
                assert steps == list(range(1, 51))
                session.messages.clear()
            big = {"name": "big", "arguments": {"bytes": 5_000_000}}
            await session.ask(stack.replicas - 1, "big", "tools/call", big)
            assert (await session.answer("big"))["result"]["content"][0]["text"] == "x" * 5_000_000


async def test_a_pinned_version_has_its_own_stream(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        async with opened(stack, organisation, token, "p@1") as session:
            assert session.path.startswith(f"/p/{organisation}/p@1/message?")
            await session.begin()
            await session.ask(0, 1, "tools/list")
            assert (await session.answer(1))["result"]["tools"]


async def test_a_session_is_only_for_its_token_and_its_playbook_and_ends_with_its_stream(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        other = await stack.token(organisation, "somebody-else")
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        async with opened(stack, organisation, token) as session:
            await session.begin()
            edges = range(stack.replicas)
            for edge in edges:
                assert (await session.post(edge, ping, other)).status_code == 404
                for path in (session.path.replace("/p/message", "/p@1/message"), session.path[:-1]):
                    assert (await session.post(edge, ping, path=path)).status_code == 404
                assert (await session.post(edge, ping, "cbk_wrong")).status_code == 401
                assert (await session.post(edge, b"{nonsense")).status_code == 400
                assert (await session.post(edge, b'{"jsonrpc":"2.0"}')).status_code == 400
            assert not [m for m in session.messages if m.get("id") == 1]

        async def gone() -> bool:
            return all([(await session.post(edge, ping)).status_code == 404 for edge in edges])

        await eventually(gone)


async def test_a_call_is_cancelled_by_a_post_anywhere_and_by_the_end_of_the_stream(
    stack: Stack, tmp_path: Path
) -> None:
    async with running("echo", "--ledger", tmp_path / "ledger") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        async with opened(stack, organisation, token) as session:
            await session.begin()
            for text in ("one", "two"):
                arguments = {"seconds": 60, "text": text}
                await session.ask(stack.replicas - 1, text, "tools/call", {"name": "slow", "arguments": arguments})
            await eventually(lambda: sorted(ledger_lines(tmp_path / "ledger")) == ["one", "two"])
            cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "one"}}
            assert (await session.post(stack.replicas - 1, cancel)).status_code == 202
            await eventually(lambda: "cancelled:one" in ledger_lines(tmp_path / "ledger"))
            await session.ask(0, "on", "tools/call", {"name": "echo", "arguments": {"text": "on"}})
            await session.answer("on")
            assert not [m for m in session.messages if m.get("id") == "one"]
            assert "cancelled:two" not in ledger_lines(tmp_path / "ledger")
        await eventually(lambda: "cancelled:two" in ledger_lines(tmp_path / "ledger"))


async def test_a_revoked_token_ends_the_stream(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, _ = await published(stack, one_server({"url": upstream.url}))
        issued = await stack.cli_json("token", "issue", "agent-2", "--org", organisation)
        async with opened(stack, organisation, issued["token"], edge=stack.replicas - 1) as session:
            await session.begin()
            await stack.cli("token", "revoke", issued["key_id"], "--org", organisation)
            await promised(session.over.is_set, within=5)


async def test_the_stateless_era_is_refused_with_the_revisions_that_are_served(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        async with opened(stack, organisation, token) as session:
            await session.ask(0, 1, "server/discover", {"_meta": META})
            error = (await session.answer(1))["error"]
            assert error["code"] == -32022
            assert "2024-11-05" in error["data"]["supported"]
            await session.ask(0, 2, "tools/list")
            assert "initialize" in (await session.answer(2))["error"]["message"]


async def test_when_the_edge_of_the_stream_dies_posts_elsewhere_are_told_at_once(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        async with opened(stack, organisation, token) as session:
            await session.begin()
            name = "edge" if stack.replicas == 1 else "edge-1"
            killed = stack.kill(name if name in stack.pids() else "edge")
            await promised(session.over.is_set, within=5)
            if stack.replicas > 1:
                told = await session.post(1, {"jsonrpc": "2.0", "id": 9, "method": "ping"})
                assert told.status_code == 404
                assert told.json()["error"]["data"]["code"] == "session.unknown"
            await eventually(lambda: killed not in stack.pids().values())
        await stack.ready(30)


@pytest.mark.parametrize(
    ("verb", "path", "headers", "status"),
    [
        ("GET", "sse", {"Authorization": ""}, 401),
        ("GET", "sse", {"Authorization": "Bearer cbk_wrong"}, 401),
        ("GET", "sse", {"Origin": "http://evil.example.com"}, 403),
        ("GET", "sse", {"Host": "evil.example.com"}, 403),
        ("GET", "sse?access_token=x", {}, 400),
        ("POST", "sse", {}, 405),
        ("GET", "message", {}, 405),
        ("POST", "message", {"Content-Type": "text/plain"}, 400),
        ("POST", "message", {"Content-Type": "application/json"}, 404),
        ("POST", "message?sessionId=../../x", {"Content-Type": "application/json"}, 404),
    ],
)
async def test_what_is_refused(stack: Stack, verb: str, path: str, headers: dict[str, str], status: int) -> None:
    organisation, token = await published(
        stack, '{"version": 1, "organisation": "ORG", "playbooks": {"p": {"prompts": {"h": {"template": "hi"}}}}}'
    )
    sent = {"Authorization": f"Bearer {token}", **headers}
    async with httpx2.AsyncClient(timeout=PATIENCE) as http:
        url = f"{stack.url}/p/{organisation}/p/{path}"
        answer = await http.request(verb, url, headers=sent, content=b'{"jsonrpc":"2.0","id":1,"method":"ping"}')
    assert answer.status_code == status


async def test_a_playbook_that_does_not_exist_has_no_stream(stack: Stack) -> None:
    organisation, token = await published(
        stack, '{"version": 1, "organisation": "ORG", "playbooks": {"p": {"prompts": {"h": {"template": "hi"}}}}}'
    )
    async with httpx2.AsyncClient(timeout=PATIENCE, headers={"Authorization": f"Bearer {token}"}) as http:
        assert (await http.get(f"{stack.url}/p/{organisation}/other/sse")).status_code == 404
        assert (await http.get(f"{stack.url}/p/{organisation}/p@7/sse")).status_code == 404
