"""The way of one call through the edge: send it, wait, answer with JSON or, when there is more to say, with SSE."""

from __future__ import annotations

import asyncio

import msgspec

from callboard.contracts.calls import ERROR, RESULT, ReplyHead
from callboard.contracts.problems import Problem
from callboard_edge.mcp.answers import (
    MODERN_STATUS,
    PING,
    PROBLEM_STATUS,
    Receive,
    Send,
    challenge,
    error_message,
    result_message,
    send_event,
    send_json,
    start_sse,
)
from callboard_edge.mcp.calls import TICK, WATCH, Call, Calls
from callboard_edge.mcp.envelope import Message


class _Error(msgspec.Struct):
    code: int = 0


_peek = msgspec.json.Decoder(_Error).decode


def status_of(head: ReplyHead, body: bytes, *, modern: bool) -> int:
    """The HTTP status that an error is answered with."""
    if head.problem in PROBLEM_STATUS:
        return PROBLEM_STATUS[head.problem]
    if not modern:
        return 200
    return MODERN_STATUS.get(_code_of(body), 200)


def _code_of(error: bytes) -> int:
    try:
        return _peek(error).code
    except msgspec.DecodeError:
        return 0


async def relay(
    calls: Calls, call: Call, message: Message, receive: Receive, send: Send, *, modern: bool, stream: bool = False
) -> str:
    """Answer one request; returns the problem code it ended with, or an empty text.

    `stream`: the client would rather have an event stream, even for a single message.
    """
    watcher = None
    try:
        head, body = await call.next()
        if head.kind == WATCH:
            # In the handshake era a closed connection does not mean "cancel" (MCP 2025-11-25, basic/transports).
            if modern:
                watcher = asyncio.create_task(_watch(calls, call, receive))
            head, body = await call.next()
        if stream and head.kind in (RESULT, ERROR) and head.problem not in PROBLEM_STATUS:
            await _stream(call, message, head, body, send)
        elif head.kind == RESULT:
            await send_json(send, 200, result_message(message.raw_id, body))
        elif head.kind == ERROR:
            await _send_error(send, message, head, body, modern)
        else:
            if modern and watcher is None:
                watcher = asyncio.create_task(_watch(calls, call, receive))
            head = await _stream(call, message, head, body, send)
        return head.problem
    finally:
        calls.forget(call)
        if watcher is not None:
            watcher.cancel()


async def _send_error(send: Send, message: Message, head: ReplyHead, body: bytes, modern: bool) -> None:
    status = status_of(head, body, modern=modern)
    headers = challenge(head.problem) if status == 401 else None
    await send_json(send, status, error_message(message.raw_id, body), headers)


async def _stream(call: Call, message: Message, head: ReplyHead, body: bytes, send: Send) -> ReplyHead:
    await start_sse(send)
    while head.kind not in (RESULT, ERROR):
        if head.kind in (TICK, WATCH):
            await send({"type": "http.response.body", "body": PING, "more_body": True})
        else:
            await send_event(send, body)
        head, body = await call.next()
    whole = result_message if head.kind == RESULT else error_message
    await send_event(send, whole(message.raw_id, body), last=True)
    return head


async def _watch(calls: Calls, call: Call, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    await calls.cancel(call, "the client closed the stream")
    call.fail(Problem("call.cancelled", "the client closed the stream"))
