"""The way of one call through the edge: wait for what comes back, and say it to the client's outlet.

`HttpOutlet` answers with JSON or, when there is more to say, with SSE.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from callboard.contracts.calls import ERROR, PAUSED, RESULT
from callboard.contracts.problems import Problem
from callboard_edge.mcp.answers import (
    MODERN_STATUS,
    PROBLEM_STATUS,
    Receive,
    Send,
    error_message,
    headers_of,
    result_message,
    send_event,
    send_json,
    send_ping,
    start_sse,
)
from callboard_edge.mcp.calls import TICK, WATCH, Call, Calls
from callboard_edge.mcp.outlet import Outlet


class _Error(msgspec.Struct):
    code: int = 0


class _Refusal(msgspec.Struct):
    data: dict[str, Any] | None = None


_peek = msgspec.json.Decoder(_Error).decode
_refusal = msgspec.json.Decoder(_Refusal).decode


def status_of(problem: str, body: bytes, *, modern: bool) -> int:
    """The HTTP status that an error is answered with; `problem` is our code when the error is ours."""
    if problem in PROBLEM_STATUS:
        return PROBLEM_STATUS[problem]
    if not modern:
        return 200
    return MODERN_STATUS.get(_code_of(body), 200)


def _code_of(error: bytes) -> int:
    try:
        return _peek(error).code
    except msgspec.DecodeError:
        return 0


def _data_of(problem: str, error: bytes) -> dict[str, Any]:
    """What our own refusal says beside its words; an upstream's error says nothing to our headers."""
    return _refusal(error).data or {} if problem in PROBLEM_STATUS else {}


async def relay(calls: Calls, call: Call, outlet: Outlet, *, modern: bool) -> str:
    """Answer one request; returns the problem code it ended with, or an empty text."""
    watcher = None
    try:
        # An answer that takes long becomes a stream early, where the client can come back for the rest of it.
        call.resumable = outlet.resumes(call.head.call_id)
        while True:
            if not call.messages:
                await call.arrival()
            head, body = call.take()
            if head.kind == RESULT:
                await outlet.result(body)
                return head.problem
            if head.kind == ERROR:
                await outlet.error(body, head.problem)
                return head.problem
            # In the handshake era a closed connection does not mean "cancel" (MCP 2025-11-25, basic/transports).
            if modern and watcher is None:
                watcher = asyncio.create_task(_watch(calls, call, outlet))
            if head.kind == TICK or (head.kind == WATCH and call.resumable):
                await outlet.idle()
            elif head.kind == PAUSED:
                await outlet.pause(body)
            elif head.kind != WATCH:
                await outlet.say(body)
    except asyncio.CancelledError:
        if outlet.gives_up:
            await calls.cancel(call, "the client gave the request up")
        raise
    finally:
        calls.forget(call)
        if watcher is not None:
            watcher.cancel()


async def _watch(calls: Calls, call: Call, outlet: Outlet) -> None:
    await outlet.gone()
    await calls.cancel(call, "the client closed the stream")
    call.fail(Problem("call.cancelled", "the client closed the stream"))


class HttpOutlet:
    """The answer to one POST. `stream`: the client would rather have an event stream, even for a single message."""

    __slots__ = ("_id", "_modern", "_receive", "_send", "_started", "_stream")
    gives_up = False

    def __init__(self, id: bytes, receive: Receive, send: Send, *, modern: bool, stream: bool = False) -> None:
        self._id = id
        self._receive = receive
        self._send = send
        self._modern = modern
        self._stream = stream
        self._started = False

    def resumes(self, call_id: str) -> bool:
        """What is said on a connection that broke is lost."""
        return False

    async def result(self, result: bytes) -> None:
        """JSON, or the last event."""
        message = result_message(self._id, result)
        if self._stream or self._started:
            await self._last(message)
        else:
            await send_json(self._send, 200, message)

    async def error(self, error: bytes, problem: str = "") -> None:
        """JSON with the status of the error, or the last event."""
        message = error_message(self._id, error)
        if self._started or (self._stream and problem not in PROBLEM_STATUS):
            await self._last(message)
            return
        status = status_of(problem, error, modern=self._modern)
        await send_json(self._send, status, message, headers_of(problem, _data_of(problem, error)))

    async def say(self, message: bytes) -> None:
        """An event; the first one makes the answer a stream."""
        await self._start()
        await self._event(message)

    async def idle(self) -> None:
        """A comment, so that proxies keep the connection."""
        await self._start()
        await send_ping(self._send)

    async def pause(self, retry: bytes) -> None:
        """The connection stays."""

    async def gone(self) -> None:
        """Until the client closes the connection."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def close(self) -> None:
        """The request is answered, or never will be."""

    async def _start(self) -> None:
        if not self._started:
            self._started = True
            await self._open()

    async def _last(self, message: bytes) -> None:
        await self._start()
        await self._event(message, last=True)

    async def _open(self) -> None:
        await start_sse(self._send)

    async def _event(self, message: bytes, *, last: bool = False) -> None:
        await send_event(self._send, message, last=last)
