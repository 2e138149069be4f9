"""Tasks that calls leave behind (`io.modelcontextprotocol/tasks`): worked on through any edge, by their maker alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.journeys.test_inspector import inspect
from tests.journeys.test_streams import Stream
from tests.support.agents import published
from tests.support.names import fresh
from tests.support.stack import META, Stack
from tests.support.upstreams.launch import command, running
from tests.support.waiting import PATIENCE, eventually, promised

pytestmark = [pytest.mark.asyncio(loop_scope="session")]
TASKS = "io.modelcontextprotocol/tasks"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
DECLARED = {"extensions": {TASKS: {}}, "elicitation": {}}
TRANSPORTS = pytest.mark.parametrize("transport", ["http", "stdio"])


class Maker:
    """A stateless client that says that it can handle tasks."""

    def __init__(
        self, stack: Stack, organisation: str, token: str, playbook: str = "p", server: dict[str, Any] | None = None
    ) -> None:
        self.stack = stack
        self.server = server
        self.organisation = organisation
        self.token = token
        self.playbook = playbook

    def endpoint(self, edge: int = 0) -> str:
        return self.stack.endpoint(self.organisation, self.playbook, edge)

    async def answer(self, method: str, params: dict[str, Any], edge: int = 0, declared: Any = None) -> dict[str, Any]:
        """The whole answer to one request at this edge."""
        meta = {**META, CAPABILITIES: DECLARED if declared is None else declared}
        headers = {"Mcp-Name": params["taskId"]} if "taskId" in params else {}
        response = await self.stack.rpc(
            self.endpoint(edge), method, {**params, "_meta": meta}, self.token, headers=headers
        )
        answer: dict[str, Any] = response.json()
        return answer

    async def ask(self, method: str, edge: int = 0, **params: Any) -> dict[str, Any]:
        """The result of one request."""
        answer = await self.answer(method, params, edge)
        assert "result" in answer, answer
        return dict(answer["result"])

    async def begin(self, tool: str, **arguments: Any) -> str:
        """Call a tool; the id of the task that it leaves behind."""
        made = await self.ask("tools/call", name=tool, arguments=arguments)
        assert made["resultType"] == "task", made
        return str(made["taskId"])

    async def become(self, task: str, status: str, edge: int = 0) -> dict[str, Any]:
        """The task, once it has this status."""

        async def has_become() -> dict[str, Any] | None:
            found = await self.ask("tasks/get", edge, taskId=task)
            assert found["taskId"] == task
            return found if found["status"] == status else None

        found = await eventually(has_become, every=0.1)
        assert found is not None
        return found

    def listen(self, edge: int, *tasks: str, declared: Any = None) -> Stream:
        """An open `subscriptions/listen` for these tasks."""
        headers = {
            "Authorization": f"Bearer {self.token}",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "subscriptions/listen",
        }
        meta = {**META, CAPABILITIES: DECLARED if declared is None else declared}
        params = {"_meta": meta, "notifications": {"taskIds": list(tasks)}}
        body = {"jsonrpc": "2.0", "id": "my-listen", "method": "subscriptions/listen", "params": params}
        return Stream("POST", self.endpoint(edge), headers, body)


class AnyMaker(Maker):
    """The same at `/mcp`, where all playbooks of the token are one."""

    def endpoint(self, edge: int = 0) -> str:
        return f"{self.stack.urls[edge]}/mcp"


def messages(stream: Stream) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in stream.text.splitlines() if line.startswith("data: {")]


def file(servers: dict[str, Any], **playbooks: list[str]) -> str:
    """A file with these servers, and playbooks that use some of them under bare names."""
    used = {name: {"servers": {one: {"names": "bare"} for one in users}} for name, users in playbooks.items()}
    return json.dumps({"version": 1, "organisation": "ORG", "servers": servers, "playbooks": used})


@asynccontextmanager
async def makers(stack: Stack, transport: str = "http", *more: str) -> AsyncIterator[Maker]:
    """A client of playbook `p` over the upstream that makes tasks; playbook `q` has it too."""
    words = ("tasks", "--era", "2026", *more)
    async with running(*words) as upstream:
        server = {"url": upstream.url} if transport == "http" else {"command": command(*words, "--stdio")}
        organisation, token = await published(stack, file({"up": server}, p=["up"], q=["up"]))
        yield Maker(stack, organisation, token, server=server)


@TRANSPORTS
async def test_a_task_is_worked_on_through_any_edge(stack: Stack, transport: str, tmp_path: Path) -> None:
    ledger, last = tmp_path / "ledger", stack.replicas - 1
    async with makers(stack, transport, "--ledger", str(ledger)) as maker:
        task = await maker.begin("slow_compute", seconds=0.3, label="x")
        done = await maker.become(task, "completed", last)
        assert done["result"] == {"content": [{"type": "text", "text": "computed x"}], "isError": False}
        asking = await maker.begin("multi_input")
        found = await maker.ask("tasks/get", last, taskId=asking)
        assert (found["status"], sorted(found["inputRequests"])) == ("input_required", ["first", "second"])
        for edge, key in ((last, "first"), (0, "second")):
            answers = {key: {"action": "accept", "content": {"name": "n"}}}
            assert await maker.ask("tasks/update", edge, taskId=asking, inputResponses=answers) == {
                "resultType": "complete"
            }
        await maker.become(asking, "completed", last)
        endless = await maker.begin("slow_compute", seconds=600, label="endless")
        assert await maker.ask("tasks/cancel", last, taskId=endless) == {"resultType": "complete"}
        await maker.become(endless, "cancelled")
        assert ledger.read_text().split() == ["cancelled:endless"]


async def test_a_task_is_its_makers_alone(stack: Stack) -> None:
    async with makers(stack) as maker:
        task = await maker.begin("slow_compute", seconds=600)
        unknown = (await maker.answer("tasks/get", {"taskId": "never-heard-of"}))["error"]
        assert unknown["code"] == -32602
        other_token = await stack.token(maker.organisation, "somebody-else")
        others = [
            Maker(stack, maker.organisation, other_token),
            Maker(stack, maker.organisation, maker.token, "q"),
        ]
        tampered = [
            task[:-8] + "AAAAAAAA",
            task.replace(".up.", ".down."),
            task.replace(".p.", ".q."),
            task.replace(".-.", ".w1."),
            task + "x",
        ]
        tries = [*((other, task) for other in others), *((maker, id) for id in tampered)]
        for who, id in tries:
            for method, more in (("tasks/get", {}), ("tasks/cancel", {}), ("tasks/update", {"inputResponses": {}})):
                error = (await who.answer(method, {"taskId": id, **more}))["error"]
                assert (error["code"], error["message"], error["data"]["code"]) == (
                    unknown["code"],
                    unknown["message"],
                    unknown["data"]["code"],
                )
        assert (await maker.ask("tasks/get", taskId=task))["status"] == "working"


async def test_what_a_tool_began_is_gone_with_the_tool_when_a_policy_takes_it_away(stack: Stack) -> None:
    async with makers(stack) as maker:
        done, working = [await maker.begin("slow_compute", seconds=seconds) for seconds in (0.1, 600)]
        await maker.become(done, "completed")
        unknown = (await maker.answer("tasks/get", {"taskId": "never-heard-of"}))["error"]
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {stack.admin_token}"}, timeout=30) as http:
            url = f"{stack.url}/api/v1/organisations/{maker.organisation}/policies/careful"
            body = {"definition": {"tools": {"allow": ["*"], "deny": ["up/slow_compute"]}}, "comment": "too slow"}
            assert (await http.put(url, json=body)).status_code == 200

        async def is_gone() -> bool:
            asked = [("tasks/get", {"taskId": task}) for task in (done, working)]
            asked.append(("tasks/cancel", {"taskId": working}))
            edges = range(stack.replicas)
            answers = [await maker.answer(method, params, edge) for method, params in asked for edge in edges]
            told = [answer.get("error", {}) for answer in answers]
            return all(
                (error.get("code"), error.get("message")) == (unknown["code"], unknown["message"]) for error in told
            )

        await promised(is_gone, within=5, every=0.1)


@TRANSPORTS
async def test_of_playbooks_with_one_server_each_has_its_own_tasks_where_they_are_one(
    stack: Stack, transport: str
) -> None:
    async with makers(stack, transport) as maker:
        last, several = stack.replicas - 1, AnyMaker(stack, maker.organisation, maker.token)
        first = await several.begin("p__slow_compute", seconds=600)
        second = await several.begin("q__confirm_delete", filename="x")
        stream = several.listen(last, second, first, second.replace(".q.", ".p."))
        await asyncio.wait_for(stream.open.wait(), PATIENCE)
        assert messages(stream)[0]["params"]["notifications"] == {"taskIds": [second, first]}
        assert (await several.ask("tasks/get", taskId=second))["status"] == "input_required"
        answers = {"confirm": {"action": "accept", "content": {"confirm": "yes"}}}
        await several.ask("tasks/update", last, taskId=second, inputResponses=answers)
        assert (await several.become(second, "completed"))["result"]["content"][0]["text"] == "deleted"
        await eventually(lambda: "completed" in stream.text)
        await several.ask("tasks/cancel", last, taskId=first)
        await several.become(first, "cancelled")
        await eventually(lambda: "cancelled" in stream.text)
        told = {(said["params"]["taskId"], said["params"]["status"]) for said in messages(stream)[1:]}
        assert {(second, "completed"), (first, "cancelled")} <= told
        await stream.close()


async def test_a_task_of_a_playbook_that_a_token_or_an_endpoint_does_not_have_is_unknown(stack: Stack) -> None:
    async with makers(stack) as maker:
        organisation, token = maker.organisation, maker.token
        several, of_second = AnyMaker(stack, organisation, token), Maker(stack, organisation, token, "q")
        task = await several.begin("q__slow_compute", seconds=600)
        assert (await of_second.ask("tasks/get", taskId=task))["status"] == "working"
        only_first = await stack.token(organisation, "first-alone", "--playbook", "p")
        tampered = task.replace(".q.", ".p.")
        tries = [
            (AnyMaker(stack, organisation, only_first), task),
            (Maker(stack, organisation, only_first), task),
            *((maker, id) for id in (task, tampered)),
            (several, tampered),
            (several, task.replace(".q.", ".nowhere.")),
        ]
        for who, id in tries:
            for method, more in (("tasks/get", {}), ("tasks/cancel", {}), ("tasks/update", {"inputResponses": {}})):
                error = (await who.answer(method, {"taskId": id, **more}))["error"]
                assert (error["code"], error["message"]) == (-32602, "Task not found")
                assert error["data"]["code"] == "task.unknown"
        assert (await several.ask("tasks/get", taskId=task))["status"] == "working"


async def test_a_client_that_does_not_declare_the_extension_gets_no_tasks(stack: Stack) -> None:
    async with makers(stack) as maker:
        task = await maker.begin("slow_compute", seconds=600)
        refused = (await maker.answer("tasks/get", {"taskId": task}, declared={}))["error"]
        assert refused["code"] == -32021
        assert refused["data"]["requiredCapabilities"] == {"extensions": {TASKS: {}}}
        plain = await maker.answer("tools/call", {"name": "slow_compute", "arguments": {"label": "y"}}, declared={})
        assert plain["result"]["content"][0]["text"] == "computed y"
        stream = maker.listen(0, task, declared={})
        await asyncio.wait_for(stream.over.wait(), PATIENCE)
        assert json.loads(stream.text)["error"]["code"] == -32021


async def test_a_task_keeps_its_version_until_its_server_is_removed(stack: Stack) -> None:
    async with makers(stack) as maker, running("echo") as echo:
        task = await maker.begin("slow_compute", seconds=600)
        both = {"up": maker.server, "echo": {"url": echo.url}}
        text = file(both, p=["echo"], q=["echo"]).replace("ORG", maker.organisation)
        await stack.apply(text, "without the tasks")
        listed = await maker.ask("tools/list")
        assert "echo" in {tool["name"] for tool in listed["tools"]}
        assert (await maker.ask("tasks/get", stack.replicas - 1, taskId=task))["status"] == "working"

        async def recorded() -> dict[str, Any] | None:
            calls = (await stack.cli_json("calls", "ls", "--org", maker.organisation))["calls"]
            return next((call for call in calls if call["method"] == "tasks/get"), None)

        record = await eventually(recorded, every=0.3)
        assert record is not None
        assert (record["server"], record["tool"], record["version"]) == ("up", "slow_compute", 1)
        await stack.cli("server", "rm", f"{maker.organisation}/up", "-m", "not needed")

        async def is_gone() -> bool:
            answers = [await maker.answer("tasks/get", {"taskId": task}, edge) for edge in range(stack.replicas)]
            return all(answer.get("error", {}).get("data", {}).get("code") == "task.unknown" for answer in answers)

        await eventually(is_gone, every=0.1)
        hint = (await maker.answer("tasks/get", {"taskId": task}))["error"]["data"]["hint"]
        assert "its server was removed" in hint


@TRANSPORTS
async def test_news_of_a_task_reach_its_maker_and_nobody_else(stack: Stack, transport: str) -> None:
    async with makers(stack, transport) as maker:
        other = Maker(stack, maker.organisation, await stack.token(maker.organisation, fresh("other")))
        task, theirs = await maker.begin("confirm_delete", filename="x"), await other.begin("multi_input")
        last = stack.replicas - 1
        streams = maker.listen(last, task, theirs, "never-heard-of"), other.listen(0, theirs, task)
        for stream in streams:
            await asyncio.wait_for(stream.open.wait(), PATIENCE)
        agreed = [messages(stream)[0]["params"]["notifications"] for stream in streams]
        assert agreed == [{"taskIds": [task]}, {"taskIds": [theirs]}]
        answers = {"confirm": {"action": "accept", "content": {"confirm": "yes"}}}
        await maker.ask("tasks/update", taskId=task, inputResponses=answers)
        await eventually(lambda: "completed" in streams[0].text)
        told = messages(streams[0])[1:]
        assert {message["method"] for message in told} == {"notifications/tasks"}
        assert [message["params"]["status"] for message in told] == ["working", "completed"]
        subscription = {"io.modelcontextprotocol/subscriptionId": "my-listen"}
        assert all((m["params"]["taskId"], m["params"]["_meta"]) == (task, subscription) for m in told)
        now = await maker.ask("tasks/get", taskId=task)
        assert {**told[-1]["params"], "_meta": 0, "resultType": 0} == {**now, "_meta": 0, "resultType": 0}
        assert len(messages(streams[1])) == 1
        for stream in streams:
            await stream.close()


async def test_a_stream_hears_what_became_of_a_task_while_its_worker_was_gone(stack: Stack) -> None:
    async with makers(stack) as maker:
        task = await maker.begin("slow_compute", seconds=1.0, label="x")
        stream = maker.listen(stack.replicas - 1, task)
        await asyncio.wait_for(stream.open.wait(), PATIENCE)
        assert messages(stream)[0]["params"]["notifications"] == {"taskIds": [task]}
        for name in [name for name in stack.pids() if name.startswith("connectors")]:
            stack.kill(name)
        await eventually(lambda: "completed" in stream.text, within=40)
        told = messages(stream)[-1]["params"]
        assert (told["taskId"], told["status"], "resultType" in told) == (task, "completed", False)
        assert told["result"]["content"][0]["text"] == "computed x"
        await stream.close()


async def test_a_task_survives_the_worker_that_began_it(stack: Stack) -> None:
    async with makers(stack) as maker:
        task = await maker.begin("confirm_delete", filename="x")
        for name in [name for name in stack.pids() if name.startswith("connectors")]:
            stack.kill(name)
        answers = {"confirm": {"action": "accept", "content": {"confirm": "yes"}}}

        async def answered() -> bool:
            answer = await maker.answer("tasks/update", {"taskId": task, "inputResponses": answers})
            return "result" in answer

        await eventually(answered, every=0.3)
        assert (await maker.become(task, "completed"))["result"]["content"][0]["text"] == "deleted"


@pytest.mark.parametrize(
    ("protocol", "era", "tool", "said"),
    [
        ("modern", "2026", "slow_compute", "computed x"),
        ("legacy", "2025", "slow_compute", "computed x"),
        ("legacy", "2025", "test_tool_with_task", "computed for None"),
    ],
)
async def test_the_inspector_waits_for_a_task_as_for_a_call(
    stack: Stack, protocol: str, era: str, tool: str, said: str
) -> None:
    async with running("tasks", "--era", era) as upstream:
        organisation, token = await published(stack, file({"up": {"url": upstream.url}}, p=["up"]))
        url = stack.endpoint(organisation, "p", stack.replicas - 1)
        words = ("--method", "tools/call", "--tool-name", tool, "--tool-args-json", '{"seconds":0.3,"label":"x"}')
        result = await inspect(url, token, protocol, *words)
        assert result["content"] == [{"type": "text", "text": said}]
        if tool == "test_tool_with_task":  # this one cannot be had without a task
            assert result["_meta"]["io.modelcontextprotocol/related-task"]["taskId"].startswith("cbt2.p.up.")
