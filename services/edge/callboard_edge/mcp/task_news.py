"""What a `subscriptions/listen` stream hears of tasks (SEP-2663, task status notifications).

Each task is a request of its own to the server that runs it, held open as long as the stream: it goes the way of every
call, so that the caller's right to the task, its owner and its cancellation need no other way.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence

import msgspec

from callboard.contracts.calls import LISTEN, NOTIFICATION, ReplyHead, RpcHead
from callboard.kernel.extensions import TASKS, declares, missing_extension
from callboard_edge.mcp.calls import Call, Calls
from callboard_edge.mcp.gate import Place
from callboard_edge.mcp.listener import Listener

MAX_TASKS = 100
_AGREED_WITHIN = 5.0
_HELD_MILLISECONDS = 24 * 3600 * 1000
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
_ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
_FINAL = frozenset({"task.unknown", "method.unknown", "capability.required", "argument.invalid"})


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
        self._following: list[asyncio.Task[None]] = []

    async def begin(self, ids: Sequence[str]) -> list[str]:
        """Follow these tasks; those that a server agreed to tell of. Raises `capability.required`."""
        if not declares(self._head.capabilities, TASKS):
            raise missing_extension(TASKS)
        wanted = itertools.islice(dict.fromkeys(ids), MAX_TASKS)
        loop = asyncio.get_running_loop()
        agreed: dict[str, asyncio.Future[bool]] = {id: loop.create_future() for id in wanted}
        self._following = [asyncio.create_task(self._follow(id, answer.set_result)) for id, answer in agreed.items()]
        await asyncio.wait(agreed.values(), timeout=_AGREED_WITHIN)
        return [id for id, answer in agreed.items() if answer.done() and answer.result()]

    def end(self) -> None:
        """The stream is over."""
        for following in self._following:
            following.cancel()

    async def _follow(self, id: str, agree: Callable[[bool], None]) -> None:
        """Until the stream ends; a server, worker or router that goes away is asked again."""
        told = False

        def answer(agreed: bool) -> None:
            nonlocal told
            if not told:
                agree(agreed)
            told = True

        pause = _FIRST_PAUSE
        while True:
            began = time.monotonic()
            problem = await self._heard(id, answer)
            answer(False)
            if problem in _FINAL:
                return
            if time.monotonic() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _heard(self, id: str, answer: Callable[[bool], None]) -> str:
        """One request, from its beginning to its end; why it ended."""
        now = time.time_ns() // 1000
        head = msgspec.structs.replace(
            self._head,
            call_id=self._calls.new_id(now),
            method=LISTEN,
            received=now,
            deadline=now // 1000 + _HELD_MILLISECONDS,
        )
        params = b'{"notifications":{"taskIds":[%b]},"_meta":%b}' % (_encode(id), self._meta)
        call = await self._calls.send(head, self._place.organisation, self._place.playbook, params)
        try:
            reply, body = await self._next(call)
            while reply.kind == NOTIFICATION:
                self._take(id, body, answer)
                reply, body = await self._next(call)
        except asyncio.CancelledError:
            await self._calls.cancel(call, "the client closed the stream")
            raise
        finally:
            self._calls.forget(call)
        return reply.problem

    async def _next(self, call: Call) -> tuple[ReplyHead, bytes]:
        reply, body = await call.next()
        while reply.kind < 0:
            reply, body = await call.next()
        return reply, body

    def _take(self, id: str, body: bytes, answer: Callable[[bool], None]) -> None:
        found = _notification(body)
        if found.method == _ACKNOWLEDGED:
            agreed = _params(found.params).notifications
            answer(agreed is not None and id in agreed.task_ids)
            return
        params = _members(found.params)
        theirs = _members(params["_meta"]) if "_meta" in params else {}
        mine = {**theirs, "io.modelcontextprotocol/subscriptionId": self._subscription}
        message = {"jsonrpc": "2.0", "method": found.method, "params": {**params, "_meta": mine}}
        self._listener.say(_encode(message))
