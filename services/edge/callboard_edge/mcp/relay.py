"""The way of one call through the edge: send it, wait, answer with JSON or, when there is more to say, with SSE."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from callboard.contracts.calls import ERROR, PAUSED, RESULT, ReplyHead
from callboard.contracts.problems import Problem
from callboard_edge.mcp.answers import (
    MODERN_STATUS,
    PROBLEM_STATUS,
    Receive,
    Send,
    challenge,
    error_message,
    result_message,
    send_json,
)
from callboard_edge.mcp.calls import TICK, WATCH, Call, Calls
from callboard_edge.mcp.envelope import Message
from callboard_edge.mcp.outlets import Outlet, PlainOutlet


def _status(head: ReplyHead, body: bytes, modern: bool) -> int:
    if head.problem in PROBLEM_STATUS:
        return PROBLEM_STATUS[head.problem]
    if not modern:
        return 200
    return MODERN_STATUS.get(_code_of(body), 200)


def _code_of(error: bytes) -> int:
    _, _, rest = error.partition(b'"code":')
    digits = rest.lstrip()[:7].split(b",")[0].split(b"}")[0]
    try:
        return int(digits)
    except ValueError:
        return 0


async def relay(
    calls: Calls,
    call: Call,
    message: Message,
    receive: Receive,
    send: Send,
    *,
    modern: bool,
    stream: bool = False,
    outlet: Callable[[Call, Send], Outlet] | None = None,
) -> str:
    """Answer one request; returns the problem code it ended with, or an empty text.

    `stream`: the client would rather have an event stream, even for a single message. `outlet`: makes the event
    stream of a client that can resume it; an answer that takes long becomes one early.
    """
    watcher = None
    try:
        call.resumable = outlet is not None
        head, body = await call.next()
        if head.kind == WATCH and outlet is None:
            # In the handshake era a closed connection does not mean "cancel" (MCP 2025-11-25, basic/transports).
            if modern:
                watcher = asyncio.create_task(_watch(calls, call, receive))
            head, body = await call.next()
        whole = head.kind in (RESULT, ERROR) and (not stream or head.problem in PROBLEM_STATUS)
        if whole and head.kind == RESULT:
            await send_json(send, 200, result_message(message.raw_id, body))
        elif whole:
            await _send_error(send, message, head, body, modern)
        else:
            if modern and watcher is None:
                watcher = asyncio.create_task(_watch(calls, call, receive))
            head = await _stream(call, message, head, body, outlet(call, send) if outlet else PlainOutlet(send))
        return head.problem
    finally:
        calls.forget(call)
        if watcher is not None:
            watcher.cancel()


async def _send_error(send: Send, message: Message, head: ReplyHead, body: bytes, modern: bool) -> None:
    status = _status(head, body, modern)
    headers = challenge(head.problem) if status == 401 else None
    await send_json(send, status, error_message(message.raw_id, body), headers)


async def _stream(call: Call, message: Message, head: ReplyHead, body: bytes, outlet: Outlet) -> ReplyHead:
    try:
        await outlet.start()
        while head.kind not in (RESULT, ERROR):
            if head.kind in (TICK, WATCH):
                await outlet.ping()
            elif head.kind == PAUSED:
                await outlet.pause(body)
            else:
                await outlet.event(body)
            head, body = await call.next()
        whole = result_message if head.kind == RESULT else error_message
        await outlet.event(whole(message.raw_id, body), last=True)
    finally:
        outlet.close()
    return head


async def _watch(calls: Calls, call: Call, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    await calls.cancel(call, "the client closed the stream")
    call.fail(Problem("call.cancelled", "the client closed the stream"))
