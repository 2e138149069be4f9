"""How an answer is put on the wire: its bytes, its status, its lines."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.contracts.calls import CHUNK, ERROR, NOTIFICATION, RESULT, ReplyHead, RpcHead, frame
from callboard_edge.mcp.answers import send_event
from callboard_edge.mcp.calls import Calls
from callboard_edge.mcp.relay import status_of


@pytest.mark.parametrize("line_break", [b"\n", b"\r\n", b"\r"])
async def test_a_line_break_between_two_tokens_does_not_end_the_event(line_break: bytes) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await send_event(send, b'{"a":' + line_break + b"1}")
    assert sent[0]["body"] == b'event: message\ndata: {"a":\ndata: 1}\n\n'


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (b'{"code" : -32602,"message":""}', 400),
        (b'{"data":{"code":-32602},"message":"","code":1}', 200),
        (b'{"message":"","\\u0063ode":-32601}', 404),
        (b'{"message":"no code"}', 200),
        (b'{"code":-32602.5,"message":""}', 200),
    ],
)
def test_the_status_follows_from_the_code_of_the_error_however_it_is_spelled(error: bytes, status: int) -> None:
    assert status_of("", error, modern=True) == status
    assert status_of("", error, modern=False) == 200


class _Bus:
    """As much of the bus as a call needs."""

    def __init__(self) -> None:
        self.client = self

    def new_inbox(self) -> str:
        return "inbox"

    def put(self, *_: object) -> bool:
        return True


@pytest.mark.parametrize("kind", [RESULT, ERROR, NOTIFICATION])
async def test_pieces_of_whatever_kind_are_put_together(kind: int) -> None:
    calls: Any = Calls(_Bus(), 3.0)  # type: ignore[arg-type]  # a part of the bus
    call = await calls.send(RpcHead("c", "tools/call", "2026-07-28", "a", "k", 0, 0), "o", "p", b"{}")
    calls._received("inbox.1", "", frame(ReplyHead("c", CHUNK), b'{"a"'), b"")
    calls._received("inbox.1", "", frame(ReplyHead("c", CHUNK), b":"), b"")
    calls._received("inbox.1", "", frame(ReplyHead("c", kind), b"1}"), b"")
    assert await call.next() == (ReplyHead("c", kind), b'{"a":1}')
