"""What a `subscriptions/listen` stream hears of tasks (SEP-2663, task status notifications).

Each task is a request of its own to the server that runs it, held open as long as the stream: it goes the way of every
call, so that the caller's right to the task, its owner and its cancellation need no other way.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence

import msgspec

from callboard.contracts.calls import LISTEN, NOTIFICATION, RESULT, ReplyHead, RpcHead
from callboard.kernel.extensions import TASKS, declares, missing_extension
from callboard_edge.mcp.calls import Call, Calls
from callboard_edge.mcp.gate import Place
from callboard_edge.mcp.listener import Listener

MAX_TASKS = 100
_AGREED_WITHIN = 5.0
_HELD_MILLISECONDS = 24 * 3600 * 1000
_GET_MILLISECONDS = 30_000
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
_ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
_NEWS = "notifications/tasks"
_FINAL = frozenset({"task.unknown", "method.unknown", "capability.required", "argument.invalid"})

_LOST = _FINAL | {"auth.scope_insufficient", "auth.required"}


class _Agreed(msgspec.Struct, rename="camel"):
    task_ids: list[str] = []


class _Params(msgspec.Struct):
    notifications: _Agreed | None = None


class _Notification(msgspec.Struct):
    method: str
    params: msgspec.Raw = msgspec.Raw(b"{}")


_notification = msgspec.json.Decoder(_Notification).decode
_params = msgspec.json.Decoder(_Params).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class TaskNews:
    """The tasks of one stream."""

    def __init__(
        self, calls: Calls, place: Place, head: RpcHead, meta: bytes, listener: Listener, subscription: bytes
    ) -> None:
        self._calls = calls
        self._place = place
        self._head = head
        self._meta = meta
        self._listener = listener
        self._subscription = msgspec.Raw(subscription)
        self._following: dict[str, tuple[asyncio.Task[None], asyncio.Future[bool]]] = {}

    async def begin(self, ids: Sequence[str]) -> list[str]:
        """Follow these tasks; those that a server agreed to tell of. Raises `capability.required`."""
        if not declares(self._head.capabilities, TASKS):
            raise missing_extension(TASKS)
        loop = asyncio.get_running_loop()
        for id in itertools.islice(dict.fromkeys(ids), MAX_TASKS):
            agreed: asyncio.Future[bool] = loop.create_future()
            self._following[id] = (loop.create_task(self._follow(id, agreed)), agreed)
        await asyncio.wait([agreed for _, agreed in self._following.values()], timeout=_AGREED_WITHIN)
        for id, (following, agreed) in list(self._following.items()):
            if not agreed.done() or not agreed.result():
                following.cancel()
                del self._following[id]
        return list(self._following)

    def end(self) -> None:
        """The stream is over."""
        for following, _ in self._following.values():
            following.cancel()

    async def _follow(self, id: str, agreed: asyncio.Future[bool]) -> None:
        """Until the stream ends; a server, worker or router that goes away after it agreed is asked again."""
        pause = _FIRST_PAUSE
        while True:
            began = time.monotonic()
            problem = await self._heard(id, agreed)
            if not agreed.done():
                agreed.set_result(False)
            if not agreed.result() or problem in _FINAL:
                return
            if time.monotonic() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _heard(self, id: str, agreed: asyncio.Future[bool]) -> str:
        """One request, from its beginning to its end; why it ended."""
        call = await self._send(LISTEN, b'{"notifications":{"taskIds":[%b]},"_meta":%b}' % (_encode(id), self._meta))
        try:
            reply, body = await self._next(call)
            while reply.kind == NOTIFICATION:
                found = _notification(body)
                if found.method == _NEWS:
                    self._say(found.params)
                elif found.method == _ACKNOWLEDGED and agreed.done():
                    await self._catch_up(id)
                elif found.method == _ACKNOWLEDGED:
                    said = _params(found.params).notifications
                    agreed.set_result(said is not None and id in said.task_ids)
                reply, body = await self._next(call)
        except asyncio.CancelledError:
            await self._calls.cancel(call, "the client closed the stream")
            raise
        finally:
            self._calls.forget(call)
        return reply.problem

    async def judge(self) -> None:
        """Of what the caller may not ask for any more the stream says nothing from now on."""
        for id in list(self._following):
            reply, _ = await self._asked(id)
            if reply.problem in _LOST and id in self._following:
                self._following.pop(id)[0].cancel()

    async def _catch_up(self, id: str) -> None:
        """The task may have gone on while nobody listened: what `tasks/get` says is what would have been told."""
        reply, body = await self._asked(id)
        if reply.kind == RESULT:
            self._say(body)

    async def _asked(self, id: str) -> tuple[ReplyHead, bytes]:
        """What `tasks/get` answers now."""
        call = await self._send("tasks/get", b'{"taskId":%b,"_meta":%b}' % (_encode(id), self._meta))
        try:
            reply, body = await self._next(call)
            while reply.kind == NOTIFICATION:
                reply, body = await self._next(call)
        finally:
            self._calls.forget(call)
        return reply, body

    async def _send(self, method: str, params: bytes) -> Call:
        now = time.time_ns() // 1000
        lasting = _HELD_MILLISECONDS if method == LISTEN else _GET_MILLISECONDS
        head = msgspec.structs.replace(
            self._head,
            call_id=self._calls.new_id(now),
            method=method,
            received=now,
            deadline=now // 1000 + lasting,
        )
        return await self._calls.send(head, self._place.organisation, self._place.playbook, params)

    async def _next(self, call: Call) -> tuple[ReplyHead, bytes]:
        reply, body = await call.next()
        while reply.kind < 0:
            reply, body = await call.next()
        return reply, body

    def _say(self, task: bytes | msgspec.Raw) -> None:
        """A task as it is now, to the client."""
        members = _members(task)
        members.pop("resultType", None)  # of a result, which this is not
        meta = _members(members["_meta"]) if bytes(members.get("_meta", b""))[:1] == b"{" else {}
        mine = {**meta, "io.modelcontextprotocol/subscriptionId": self._subscription}
        params = {**members, "_meta": mine}
        self._listener.say(_encode({"jsonrpc": "2.0", "method": _NEWS, "params": params}))
