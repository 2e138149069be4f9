"""How an answer that came over the bus leaves: the status of an error, and what came in pieces."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callboard.contracts.calls import CHUNK, ERROR, RESULT, ReplyHead, RpcHead, frames
from callboard_edge.mcp.calls import Call, Calls
from callboard_edge.mcp.relay import status_of


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (b'{"code":-32601,"message":"x"}', 404),
        (b'{"message":"x","data":{"code":5},"code" : -32021}', 400),
        (b'{"data":{"code":-32601},"message":"x","code":-31999}', 200),
        (b'{"message":"\\"code\\":-32601","code":17}', 200),
        (b'{"code":1.5,"message":"x"}', 200),
        (b'{"code":"-32601"}', 200),
        (b"null", 200),
    ],
)
def test_an_error_of_a_server_has_the_status_of_its_own_code(error: bytes, status: int) -> None:
    assert status_of("", error, modern=True) == status
    assert status_of("", error, modern=False) == 200


class _Bus:
    """Only hands out an inbox."""

    def new_inbox(self) -> str:
        return "_INBOX.edge"


@pytest.mark.parametrize("kind", [RESULT, ERROR])
async def test_what_came_in_pieces_is_whole_again(kind: int) -> None:
    bus: Any = _Bus()
    calls = Calls(bus, silence=60)
    head = RpcHead("c", "tools/call", "", "", "", 0, 0)
    call = calls._calls[1] = Call(1, head, "acme", "p", asyncio.get_running_loop().time())
    body = bytes(range(256)) * 10
    for payload in frames(ReplyHead("c", kind), body, 100):
        calls._received("_INBOX.edge.1", "", payload, b"")
    got, whole = await call.next()
    assert (got.kind, whole) == (kind, body)
    assert got.kind != CHUNK
