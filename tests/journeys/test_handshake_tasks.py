"""Tasks of the handshake era (MCP 2025-11-25, basic/utilities/tasks), over a server that knows them per session."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client.extension import advertise
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID

from tests.journeys.test_streams import HELLO, Stream
from tests.journeys.test_tasks import TRANSPORTS, file, messages
from tests.support.agents import MODES, agent, published
from tests.support.event_streams import answered
from tests.support.stack import Stack, free_ports
from tests.support.upstreams.launch import command, running
from tests.support.waiting import PATIENCE, eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session")]
RELATED = "io.modelcontextprotocol/related-task"
ANSWERS_QUESTIONS = {"elicitation": {}}


class Session:
    """A handshake client, whose requests go to whatever edge."""

    def __init__(self, stack: Stack, organisation: str, token: str) -> None:
        self.stack = stack
        self.organisation = organisation
        self.headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
        self.capabilities: dict[str, Any] = {}
        self._last = 0

    def endpoint(self, edge: int) -> str:
        return self.stack.endpoint(self.organisation, "p", edge)

    async def open(self, capabilities: dict[str, Any]) -> None:
        params = {**HELLO, "capabilities": capabilities}
        answer = await self.post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}, 0)
        self.headers |= {"Mcp-Session-Id": answer.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-11-25"}
        self.capabilities = answer.json()["result"]["capabilities"]

    async def post(self, body: dict[str, Any], edge: int) -> httpx2.Response:
        async with httpx2.AsyncClient(timeout=30) as http:
            return await http.post(self.endpoint(edge), json=body, headers=self.headers)

    def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._last += 1
        return {"jsonrpc": "2.0", "id": self._last, "method": method, "params": params}

    async def answer(self, method: str, edge: int = 0, **params: Any) -> dict[str, Any]:
        answer = answered(await self.post(self.request(method, params), edge))
        return answer

    async def ask(self, method: str, edge: int = 0, **params: Any) -> dict[str, Any]:
        answer = await self.answer(method, edge, **params)
        assert "result" in answer, answer
        return dict(answer["result"])

    async def begin(self, tool: str, **arguments: Any) -> str:
        made = await self.ask("tools/call", name=tool, arguments=arguments, task={"ttl": 60_000})
        assert made["task"]["status"] in ("working", "input_required")
        return str(made["task"]["taskId"])

    def stream(self, edge: int, body: dict[str, Any] | None = None) -> Stream:
        return Stream("POST" if body else "GET", self.endpoint(edge), self.headers, body)


@asynccontextmanager
async def sessions(
    stack: Stack, transport: str, *more: str, capabilities: Any = None
) -> AsyncIterator[tuple[Session, Session]]:
    """Two sessions of one token over an upstream that makes tasks."""
    words = ("tasks", "--era", "2025", *more)
    async with running(*words) as upstream:
        server = {"url": upstream.url} if transport == "http" else {"command": command(*words, "--stdio")}
        organisation, token = await published(stack, file({"up": server}, p=["up"]))
        pair = Session(stack, organisation, token), Session(stack, organisation, token)
        for session in pair:
            await session.open(ANSWERS_QUESTIONS if capabilities is None else capabilities)
        yield pair


@TRANSPORTS
@pytest.mark.parametrize("capabilities", [{}, ANSWERS_QUESTIONS], ids=["mute", "answering"])
async def test_a_task_is_found_again_through_any_edge(
    stack: Stack, transport: str, capabilities: Any, tmp_path: Path
) -> None:
    last, ledger = stack.replicas - 1, tmp_path / "ledger"
    async with sessions(stack, transport, "--ledger", str(ledger), capabilities=capabilities) as (session, other):
        assert session.capabilities["tasks"] == {"cancel": {}, "requests": {"tools": {"call": {}}}}
        task = await session.begin("slow_compute", seconds=0.5, label="x")
        for edge in (last, 0, last, 0):
            assert (await session.ask("tasks/get", edge, taskId=task))["taskId"] == task
        result = await session.ask("tasks/result", last, taskId=task)
        assert result["content"] == [{"type": "text", "text": "computed x"}]
        assert result["_meta"] == {RELATED: {"taskId": task}}
        endless = await session.begin("slow_compute", seconds=600, label="endless")
        cancelled = await session.ask("tasks/cancel", last, taskId=endless)
        assert (cancelled["taskId"], cancelled["status"]) == (endless, "cancelled")
        assert ledger.read_text().split() == ["cancelled:endless"]
        for method, code in (("tasks/list", -32601), ("tasks/get", -32602)):
            assert (await session.answer(method, taskId="never-heard-of"))["error"]["code"] == code
        assert (await other.answer("tasks/get", taskId=task))["error"]["code"] == -32602


@TRANSPORTS
async def test_a_task_asks_its_client_while_its_result_is_waited_for(stack: Stack, transport: str) -> None:
    last = stack.replicas - 1
    async with sessions(stack, transport) as (session, _):
        task = await session.begin("multi_input")
        waiting = session.stream(last, session.request("tasks/result", {"taskId": task}))
        await eventually(lambda: len(messages(waiting)) == 2)
        for edge, question in zip((0, last), messages(waiting), strict=True):
            assert (question["method"], question["params"]["_meta"]) == (
                "elicitation/create",
                {RELATED: {"taskId": task}},
            )
            answer = {"action": "accept", "content": {"name": "n"}, "_meta": {RELATED: {"taskId": task}}}
            await session.post({"jsonrpc": "2.0", "id": question["id"], "result": answer}, edge)
        await asyncio.wait_for(waiting.over.wait(), PATIENCE)
        result = messages(waiting)[-1]["result"]
        assert result["content"] == [{"type": "text", "text": "had both"}]
        assert result["_meta"] == {RELATED: {"taskId": task}}


@TRANSPORTS
async def test_the_status_of_a_task_is_told_on_its_sessions_stream_alone(stack: Stack, transport: str) -> None:
    async with sessions(stack, transport) as (session, other):
        streams = session.stream(stack.replicas - 1), other.stream(0)
        for stream in streams:
            await asyncio.wait_for(stream.open.wait(), PATIENCE)
        task = await session.begin("slow_compute", seconds=1.0, label="x")
        await eventually(lambda: messages(streams[0]))
        (told,) = messages(streams[0])
        assert told["method"] == "notifications/tasks/status"
        assert (told["params"]["taskId"], told["params"]["status"]) == (task, "completed")
        assert messages(streams[1]) == []
        for stream in streams:
            await stream.close()


async def test_a_task_whose_session_went_with_its_worker_is_unknown_at_once(stack: Stack) -> None:
    async with sessions(stack, "http") as (session, _):
        task = await session.begin("slow_compute", seconds=600)
        assert (await session.ask("tasks/get", taskId=task))["status"] == "working"
        for name in [name for name in stack.pids() if name.startswith("connectors")]:
            stack.kill(name)

        async def is_unknown() -> bool:
            error = (await session.answer("tasks/get", stack.replicas - 1, taskId=task))["error"]
            return bool(error["code"] == -32602)

        await eventually(is_unknown, every=0.3)


async def test_a_wish_for_a_task_means_nothing_to_a_stateless_server(stack: Stack) -> None:
    async with running("tasks", "--era", "2026") as upstream:
        organisation, token = await published(stack, file({"up": {"url": upstream.url}}, p=["up"]))
        session = Session(stack, organisation, token)
        await session.open({})
        assert "tasks" not in session.capabilities
        made = await session.ask("tools/call", name="slow_compute", arguments={"label": "x"}, task={"ttl": 1000})
        assert json.dumps(made["content"]) == '[{"type": "text", "text": "computed x"}]'


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_with_a_session_of_its_own_goes_on_after_its_server_was_restarted(
    stack: Stack, mode: str
) -> None:
    words = ("tasks", "--era", "2025", "--port", str(free_ports(1)))
    shows = [advertise(EXTENSION_ID, {"mimeTypes": [APP_MIME_TYPE]})]
    async with running(*words) as upstream:
        organisation, token = await published(stack, file({"up": {"url": upstream.url}}, p=["up"]))
        async with agent(stack.endpoint(organisation, "p"), token, mode, extensions=shows) as client:
            await client.call_tool("greet", {"name": "x"})
            upstream.signal(signal.SIGKILL)
            await upstream.process.wait()
            async with running(*words):
                for _ in range(3):
                    assert not (await client.call_tool("greet", {"name": "x"})).is_error
