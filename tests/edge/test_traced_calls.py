"""What an edge notes of a call, and what a call that is not sampled costs: nothing that belongs to tracing."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callboard.contracts.calls import ERROR, LEGACY, MODERN, NOTIFICATION, RESULT, ReplyHead, RpcHead
from callboard.platform.traced_bus import TracedMessages
from callboard.platform.traces import NO_PARENT, Span, Traces, is_sampled
from callboard_edge.mcp.calls import Call, Calls
from callboard_edge.mcp.envelope import Meta, Params, carry_on
from callboard_edge.mcp.traced import TracedCall, tracing

PARENT = f"00-{'a' * 32}-{'b' * 16}-01"
QUIET = PARENT[:-1] + "0"
DEEP = b"[" * 100_000


class Noted:
    def __init__(self) -> None:
        self.spans: list[Span] = []

    def note(self, span: Span) -> None:
        self.spans.append(span)

    def begin(self) -> str:
        return f"{PARENT[:36]}{NO_PARENT}-01"


class Bus:
    """As much of one as a call leaves by."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def new_inbox(self) -> str:
        return "_INBOX.e"

    def put(self, subject: str, payload: bytes, reply: str = "") -> bool:
        self.sent.append(payload)
        return True


def head(traceparent: str, method: str = "tools/call", era: str = MODERN) -> RpcHead:
    now = time.time_ns() // 1000
    return RpcHead("c1", method, era, "ann", "key", now // 1000 + 9000, now, traceparent=traceparent)


def calls(noted: Noted | None) -> Calls:
    return Calls(cast("Any", Bus()), 60.0, tracing=tracing(cast("Traces | None", noted)))


async def made(noted: Noted, traceparent: str, params: bytes = b'{"name":"echo"}') -> Call:
    return await calls(noted).send(head(traceparent), "acme", "p", params)


@pytest.mark.parametrize("traceparent", [QUIET, PARENT])
async def test_without_a_collector_every_call_is_an_ordinary_one(traceparent: str) -> None:
    sender = calls(None)
    came = head(traceparent)
    call = await sender.send(came, "acme", "p", b"{}")
    assert type(call) is Call
    assert call.head is came
    sender.forget(call)
    assert not is_sampled(sender.new_traceparent())


async def test_with_one_a_call_that_is_not_sampled_is_an_ordinary_one_too() -> None:
    noted = Noted()
    sender = calls(noted)
    came = head(QUIET)
    call = await sender.send(came, "acme", "p", b"{}")
    assert type(call) is Call
    assert call.head is came
    sender.forget(call)
    assert noted.spans == []


@pytest.mark.parametrize(
    ("last", "body", "fault", "code"),
    [
        (ReplyHead("c1", RESULT), b'{"content":[]}', "", None),
        (ReplyHead("c1", RESULT), b'{"content":[],"isError":true}', "tool_error", None),
        (ReplyHead("c1", RESULT), b'{"content":["\\"isError\\":true"]}', "", None),
        (ReplyHead("c1", ERROR, "tool.unknown"), b'{"code":-32602,"message":"secret"}', "tool.unknown", "-32602"),
        (ReplyHead("c1", ERROR), b'{"code":-32000,"message":"secret"}', "-32000", "-32000"),
        (ReplyHead("c1", RESULT), b'{"isError":"\xff"}', "server.invalid_answer", None),
        pytest.param(ReplyHead("c1", RESULT), b'{"isError":' + DEEP, "server.invalid_answer", None, id="deep"),
        (ReplyHead("c1", ERROR), b'{"message":"\xff"}', "0", None),
        (None, b"", "call.cancelled", None),
    ],
)
async def test_a_sampled_call_is_noted_once_with_how_it_ended_and_without_what_was_said(
    last: ReplyHead | None, body: bytes, fault: str, code: str | None
) -> None:
    noted = Noted()
    sender = calls(noted)
    params = b'{"name":"echo","arguments":{"text":"secret"}}'
    call = await sender.send(head(PARENT), "acme", "p", params)
    assert isinstance(call, TracedCall)
    call.put(ReplyHead("c1", NOTIFICATION), b'{"method":"secret"}')
    if last is not None:
        call.put(last, body)
    sender.forget(call)
    sender.forget(call)
    [span] = noted.spans
    assert (span.name, span.kind, span.fault) == ("tools/call echo", "server", fault)
    assert (span.traceparent, span.parent) == (call.head.traceparent, PARENT)
    assert span.attributes.get("rpc.response.status_code") == code
    for hidden in ("secret", "ann", "key"):
        assert hidden not in str(span)


@pytest.mark.parametrize(
    "params", [b"", b"[", b'{"name":5}', b"{}", b'{"name":"\xff"}', pytest.param(b'{"name":' + DEEP, id="deep")]
)
async def test_a_name_that_is_none_is_left_out(params: bytes) -> None:
    call = await made(noted := Noted(), PARENT, params)
    call.over()
    assert [span.name for span in noted.spans] == ["tools/call"]


@pytest.mark.parametrize("body", [b'{"organisation":"\xff"}', pytest.param(b'{"x":' + DEEP, id="deep"), b"[]", None])
async def test_a_message_of_the_bus_that_says_nothing_readable_is_handled_and_its_span_noted(body: Any) -> None:
    noted = Noted()
    message: Any = SimpleNamespace(headers={"traceparent": PARENT}, raw_message=None, body=body)

    async def handled(_: Any) -> str:
        return "answer"

    middleware = TracedMessages(cast("Traces", noted), None, context=None)
    assert await middleware.consume_scope(handled, message) == "answer"
    assert len(noted.spans) == 1


async def test_an_endless_name_is_cut_and_an_uri_is_not_told() -> None:
    noted = Noted()
    (await made(noted, PARENT, b'{"name":"' + b"x" * 9000 + b'"}')).over()
    assert len(noted.spans[0].name) < 200
    assert all(len(str(value)) < 200 for value in noted.spans[0].attributes.values())
    sender = calls(noted)
    (await sender.send(head(PARENT, "resources/read", LEGACY), "acme", "p", b'{"uri":"file:///secret"}')).over()
    assert noted.spans[1].name == "resources/read"
    assert "secret" not in str(noted.spans[1])


async def test_a_call_that_begins_its_trace_has_no_parent() -> None:
    noted = Noted()
    sender = calls(noted)
    call = await sender.send(head(sender.new_traceparent()), "acme", "p", b"{}")
    assert call.head.traceparent[36:52] != NO_PARENT, "nobody else hears of the parent that is none"
    sender.forget(call)
    assert noted.spans[0].parent[36:52] == NO_PARENT


def test_the_message_comes_before_its_http_header() -> None:
    both, without, old = Params(meta=Meta(traceparent=PARENT)), Params(meta=Meta()), Params()
    for params in (both, without, old):
        carry_on(params, QUIET.encode())
    told = [params.meta.traceparent for params in (both, without, old) if isinstance(params.meta, Meta)]
    assert told == [PARENT, QUIET, QUIET]
