"""An upstream whose tools leave tasks behind: by the extension in the 2026 era, as the core has it in that of 2025.

    python -m tests.support.upstreams.tasks --port 0 [--era both|2025|2026] [--stdio] [--ledger FILE]

Tools: those that the `tasks-*` scenarios of the official suite want. In the 2025 era a task is known on the session
only that made it, a client asks for it with `task`, and questions come while `tasks/result` waits. The ledger gets
`cancelled:LABEL` for a computation that was stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec

from tests.support.upstreams import wire
from tests.support.upstreams.echo import Ledger, serve_stdio, tool, write_line
from tests.support.upstreams.endpoint import Endpoint
from tests.support.upstreams.pipes import Channel
from tests.support.upstreams.rpc import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    Arguments,
    Message,
    Peer,
    Reply,
    Tools,
    dumps,
    text_result,
)

EXTENSION = "io.modelcontextprotocol/tasks"
RELATED = "io.modelcontextprotocol/related-task"
MISSING_CAPABILITY = -32021
_TEXT, _SECONDS = {"type": "string"}, {"type": "number", "minimum": 0}
_TTL, _POLL = 60_000, 100
_LATER = 0.2
_OPEN = ("working", "input_required")


class _Declared(msgspec.Struct):
    extensions: dict[str, Any] = {}


class _Answer(msgspec.Struct):
    content: dict[str, Any] = {}


def _declares(reply: Reply) -> bool:
    meta = reply.params.meta
    raw = bytes(meta.capabilities) if meta is not None else b""
    return bool(raw) and EXTENSION in msgspec.json.decode(raw, type=_Declared).extensions


def _question(message: str, field: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {field: {"type": "string"}}, "required": [field]}
    return {"method": "elicitation/create", "params": {"mode": "form", "message": message, "requestedSchema": schema}}


class Task:
    """One task: its state, who made it, and who wants to hear of it."""

    def __init__(self, session: object, modern: bool, label: str) -> None:
        self.id = str(uuid.uuid4())
        self.session = session
        self.modern = modern
        self.label = label
        self.status = "working"
        self.created = self.updated = _now()
        self.result = b""
        self.error: dict[str, Any] | None = None
        self.questions: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, dict[str, Any]] = {}
        self.timer: asyncio.TimerHandle | None = None
        self.ended: list[Callable[[], None]] = []
        self.answered: Callable[[], None] = lambda: None

    def said(self) -> dict[str, Any]:
        """The members of `Task` in the task's era."""
        kept = {"ttlMs": _TTL, "pollIntervalMs": _POLL} if self.modern else {"ttl": _TTL, "pollInterval": _POLL}
        return {
            "taskId": self.id,
            "status": self.status,
            "createdAt": self.created,
            "lastUpdatedAt": self.updated,
            **kept,
        }

    def detailed(self) -> dict[str, Any]:
        """`DetailedTask` of the extension."""
        said = self.said()
        if not self.modern:
            return said
        if self.questions:
            said["inputRequests"] = self.questions
        if self.result:
            said["result"] = msgspec.Raw(self.result)
        if self.error is not None:
            said["error"] = self.error
        return said


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class TaskTools(Tools):
    name = "tasks"

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger
        self.tasks: dict[str, Task] = {}
        self.followers: dict[Reply, tuple[bytes, list[str]]] = {}
        self.peer: Peer | None = None
        self.asked: dict[bytes, tuple[Task, str]] = {}
        self._begin: dict[str, tuple[str, Callable[[Task, Arguments], None]]] = {
            "slow_compute": ("optional", self._slow_compute),
            "failing_job": ("required", self._failing_job),
            "protocol_error_job": ("optional", self._protocol_error_job),
            "confirm_delete": ("optional", self._confirm_delete),
            "multi_input": ("optional", self._multi_input),
            "test_tool_with_task": ("required", self._with_input_before),
        }
        listed = [
            tool("greet", "Says hello", {"name": _TEXT}, ["name"], {}),
            tool("slow_compute", "Takes its time", {"seconds": _SECONDS, "label": _TEXT}, [], {}),
            tool("failing_job", "Ends with a tool error", {}, [], {}),
            tool("protocol_error_job", "Ends with a JSON-RPC error", {}, [], {}),
            tool("confirm_delete", "Asks before it deletes", {"filename": _TEXT}, [], {}),
            tool("multi_input", "Asks two things at once", {}, [], {}),
            tool("test_tool_with_task", "Asks first, then takes its time", {}, [], {}),
        ]
        support = {name: level for name, (level, _) in self._begin.items()}
        self.tools = [{**one, "execution": {"taskSupport": support.get(one["name"], "forbidden")}} for one in listed]

    def capabilities(self, modern: bool) -> dict[str, Any]:
        if modern:
            return {"tools": {"listChanged": True}, "extensions": {EXTENSION: {}}}
        tasks = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
        return {"tools": {"listChanged": True}, "tasks": tasks}

    # ------------------------------------------------------------------------------------- tools/call

    def call(self, name: str, arguments: Arguments, reply: Reply) -> None:
        if name == "greet":
            reply.result(text_result(dumps(f"Hello, {arguments.name}!")))
            return
        if name not in self._begin:
            reply.error(INVALID_PARAMS, f"Unknown tool: {name}")
            return
        level, begin = self._begin[name]
        wanted = _declares(reply) if reply.modern else bool(bytes(reply.params.task))
        if not wanted and level == "required":
            self._refuse(reply)
        elif reply.modern and name == "test_tool_with_task" and not reply.params.input_responses:
            asked = {"user_name": _question("What is your name?", "name")}
            state = {"resultType": "input_required", "inputRequests": asked, "requestState": "asked-for-a-name"}
            reply.result(dumps(state))
        else:
            task = Task(_session(reply), reply.modern, arguments.label)
            self.tasks[task.id] = task
            task.answers = {key: _content(raw) for key, raw in reply.params.input_responses.items()}
            if wanted:
                said = {"resultType": "task", **task.said()} if reply.modern else {"task": task.said()}
                reply.result(dumps(said))
            else:
                task.ended.append(lambda: reply.result(task.result))
            begin(task, arguments)

    def _refuse(self, reply: Reply) -> None:
        if reply.modern:
            required = {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
            reply.error(MISSING_CAPABILITY, "Missing required client capability", required)
        else:
            reply.error(METHOD_NOT_FOUND, "this tool wants a task")

    def _slow_compute(self, task: Task, arguments: Arguments) -> None:
        self._later(task, arguments.seconds, "completed", result=text_result(dumps(f"computed {arguments.label}")))

    def _failing_job(self, task: Task, arguments: Arguments) -> None:
        self._later(task, _LATER, "completed", result=text_result(b'"it failed"', failed=b"true"))

    def _protocol_error_job(self, task: Task, arguments: Arguments) -> None:
        self._later(task, _LATER, "failed", error={"code": -32603, "message": "it broke"})

    def _confirm_delete(self, task: Task, arguments: Arguments) -> None:
        self._ask(task, {"confirm": _question(f"Delete {arguments.filename}?", "confirm")}, "deleted")

    def _multi_input(self, task: Task, arguments: Arguments) -> None:
        asked = {key: _question(f"The {key} name?", "name") for key in ("first", "second")}
        self._ask(task, asked, "had both")

    def _with_input_before(self, task: Task, arguments: Arguments) -> None:
        name = next(iter(task.answers.values()), {}).get("name")
        self._later(task, _LATER, "completed", result=text_result(dumps(f"computed for {name}")))

    def _ask(self, task: Task, questions: dict[str, dict[str, Any]], done: str) -> None:
        task.questions = questions
        said = text_result(dumps(done))
        task.answered = lambda: self._later(task, 0.0, "completed", result=said)
        self._move(task, "input_required")

    # ------------------------------------------------------------------------------------ transitions

    def _later(
        self, task: Task, seconds: float, status: str, result: bytes = b"", error: dict[str, Any] | None = None
    ) -> None:
        def end() -> None:
            task.result, task.error = result, error
            self._move(task, status)

        task.timer = asyncio.get_running_loop().call_later(seconds, end)

    def _move(self, task: Task, status: str) -> None:
        task.status, task.updated = status, _now()
        if task.modern:
            for reply, (subscription, ids) in tuple(self.followers.items()):
                if task.id in ids:
                    reply.notify("notifications/tasks", dumps({**task.detailed(), "_meta": msgspec.Raw(subscription)}))
        elif self.peer is not None:
            self.peer.tell(task.session, "notifications/tasks/status", dumps(task.said()))
        if status not in _OPEN:
            ended, task.ended = task.ended, []
            for tell in ended:
                tell()

    def follow(self, task_ids: list[str], reply: Reply, subscription: bytes) -> list[str]:
        heard = [id for id in task_ids if id in self.tasks]
        if heard and _declares(reply):
            self.followers[reply] = (subscription, heard)
        return heard if reply in self.followers else []

    def unfollow(self, reply: Reply) -> None:
        self.followers.pop(reply, None)

    # ---------------------------------------------------------------------------------------- tasks/*

    def other(self, message: Message, reply: Reply) -> bool:
        handlers: dict[str, Callable[[Task, Reply], None]] = {"tasks/get": self._get, "tasks/cancel": self._cancel}
        if reply.modern:
            handlers["tasks/update"] = self._update
        else:
            handlers["tasks/result"] = self._result
        handler = handlers.get(message.method)
        if handler is None:
            return False
        if reply.modern and not _declares(reply):
            self._refuse(reply)
            return True
        task = self.tasks.get(message.params.task_id)
        if task is None or (not task.modern and task.session is not _session(reply)):
            reply.error(INVALID_PARAMS, "Failed to retrieve task: Task not found")
        else:
            handler(task, reply)
        return True

    def _get(self, task: Task, reply: Reply) -> None:
        reply.result(dumps(task.detailed()))

    def _cancel(self, task: Task, reply: Reply) -> None:
        if task.status in _OPEN:
            self.ledger.append(f"cancelled:{task.label}")
            if task.timer is not None:
                task.timer.cancel()
            task.questions = {}
            self._move(task, "cancelled")
        reply.result(b"{}" if reply.modern else dumps(task.said()))

    def _update(self, task: Task, reply: Reply) -> None:
        self._take(task, {key: _content(raw) for key, raw in reply.params.input_responses.items()})
        reply.result(b"{}")

    def _take(self, task: Task, answers: dict[str, dict[str, Any]]) -> None:
        known = {key: value for key, value in answers.items() if task.questions.pop(key, None) is not None}
        task.answers |= known
        if known and not task.questions:
            self._move(task, "working")
            task.answered()

    def _result(self, task: Task, reply: Reply) -> None:
        """Waits for the end; meanwhile the questions are put to the client (2025-11-25, tasks)."""
        if task.status not in _OPEN:
            self._deliver(task, reply)
            return
        task.ended.append(partial(self._deliver, task, reply))
        for key, question in task.questions.items():
            id = dumps(f"q-{uuid.uuid4()}")
            self.asked[id] = (task, key)
            params = {**question["params"], "_meta": {RELATED: {"taskId": task.id}}}
            message = {"jsonrpc": "2.0", "id": msgspec.Raw(id), "method": question["method"], "params": params}
            reply.send(dumps(message), False)

    def _deliver(self, task: Task, reply: Reply) -> None:
        if task.error is not None:
            reply.error(task.error["code"], task.error["message"])
            return
        members = msgspec.json.decode(task.result or b"{}", type=dict[str, msgspec.Raw])
        reply.result(dumps({**members, "_meta": {RELATED: {"taskId": task.id}}}))

    def answered(self, message: Message) -> None:
        found = self.asked.pop(bytes(message.id), None)
        if found is None:
            return
        task, key = found
        result = msgspec.json.decode(message.result, type=dict[str, Any])
        if result.get("_meta", {}).get(RELATED, {"taskId": task.id}) == {"taskId": task.id}:
            self._take(task, {key: result.get("content", {})})


def _content(raw: msgspec.Raw) -> dict[str, Any]:
    return msgspec.json.decode(raw, type=_Answer).content


def _session(reply: Reply) -> object:
    return getattr(reply, "session", None)


def _arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ledger")
    parser.add_argument("--era", choices=("both", "2025", "2026"), default="both")
    parser.add_argument("--stdio", action="store_true")
    return parser.parse_args(argv)


async def main(options: argparse.Namespace) -> None:
    tools = TaskTools(Ledger(options.ledger))
    peer = tools.peer = Peer(tools, options.era)
    if options.stdio:
        await serve_stdio(Channel(peer, write_line))
        return
    endpoint = Endpoint(peer)

    def serve(connection: wire.Connection) -> None:
        if connection.path == "/mcp":
            endpoint.serve(connection)
        else:
            connection.respond(404)

    await wire.until_terminated(lambda: wire.listen(serve, options.port))


if __name__ == "__main__":
    wire.run(main(_arguments()))
