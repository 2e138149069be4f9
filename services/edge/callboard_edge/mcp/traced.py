"""A call that is sampled: its span is made when nobody waits for it any more, from what was heard of it.

Above: `app.py`, which hands it to `calls.py` only where there is a collector.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import msgspec

from callboard.contracts.calls import ERROR, RESULT, ReplyHead, RpcHead
from callboard.platform import span_names
from callboard.platform.telemetry import child_traceparent
from callboard.platform.traces import Span, Traces
from callboard_edge.mcp.calls import Call, Tracing

_MAX_PEEKED = 1024 * 1024
"""Longer results are not looked into for `isError`; the span of the connector says it all the same."""

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What strangers wrote may be no UTF-8, and as deep as they like."""


class _Named(msgspec.Struct):
    name: Any = ""


class _Result(msgspec.Struct, rename={"is_error": "isError"}):
    is_error: Any = False


class _Error(msgspec.Struct):
    code: int = 0


_named = msgspec.json.Decoder(_Named).decode
_result = msgspec.json.Decoder(_Result).decode
_error = msgspec.json.Decoder(_Error).decode


class TracedCall(Call):
    """A call with a span of its own, under that of the client if it sent one."""

    __slots__ = ("_last", "_name", "_parent", "_traces")

    def __init__(
        self,
        traces: Traces,
        params: bytes,
        key: int,
        head: RpcHead,
        organisation: str,
        playbook: str,
        now: float,
        expires: float | None,
    ) -> None:
        self._parent = head.traceparent
        own = msgspec.structs.replace(head, traceparent=child_traceparent(head.traceparent))
        super().__init__(key, own, organisation, playbook, now, expires)
        self._traces = traces
        self._name = _name_in(params)
        self._last: tuple[ReplyHead, bytes] | None = None

    def put(self, head: ReplyHead, body: bytes) -> None:
        """A message has come."""
        if head.kind in (RESULT, ERROR):
            self._last = (head, body)
        super().put(head, body)

    def over(self) -> None:
        """Note the span."""
        head = self.head
        fault, code = _how(self._last)
        attributes: dict[str, str | int] = {
            **span_names.of_method(head.method, self._name, head.era),
            span_names.ORGANISATION: self.organisation,
            span_names.PLAYBOOK: self.playbook,
            span_names.CALL_ID: head.call_id,
        }
        if code:
            attributes[span_names.STATUS_CODE] = str(code)
        name = span_names.method_name(head.method, self._name)
        began = head.received * 1000
        self._traces.note(
            Span(head.traceparent, self._parent, name, "server", began, time.time_ns(), attributes, fault)
        )


def tracing(traces: Traces | None) -> Tracing | None:
    """For `Calls`; None without a collector."""
    return None if traces is None else Tracing(partial(TracedCall, traces), traces.begin)


def _name_in(params: bytes) -> str:
    try:
        name = _named(params).name
    except _UNREADABLE:
        return ""
    return name if isinstance(name, str) else ""


def _how(last: tuple[ReplyHead, bytes] | None) -> tuple[str, int]:
    """`error.type` (empty: it went well) and the JSON-RPC code of an error."""
    if last is None:
        return "call.cancelled", 0
    head, body = last
    try:
        if head.kind == ERROR:
            code = _error(body).code
            return head.problem or str(code), code
        if len(body) <= _MAX_PEEKED and b'"isError"' in body and _result(body).is_error is True:
            return span_names.TOOL_ERROR, 0
    except _UNREADABLE:
        return "server.invalid_answer", 0
    return "", 0
