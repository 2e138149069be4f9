"""Spans of calls at upstreams: from the message of the router until the answer is on its way.

Above: `perform.py`, which has one only where there is a collector.
"""

from __future__ import annotations

import time
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from callboard.contracts.calls import CallHead
from callboard.contracts.definitions import ServerDefinition
from callboard.platform import span_names
from callboard.platform.telemetry import child_traceparent
from callboard.platform.traces import Span, Traces, follow, is_sampled
from callboard_connectors.calls.domain import Ended
from callboard_connectors.calls.in_flight import Call
from callboard_connectors.sessions.upstream import Upstream


class OpenSpan(NamedTuple):
    """A call that runs; `own` is what the upstream is told."""

    own: str
    parent: str


class CallSpans:
    """The spans of one worker."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces

    def taken(self, call: Call) -> OpenSpan | None:
        """A call begins, in a task of its own; what it asks of other rooms, and the upstream, belong to the trace."""
        parent = call.head.traceparent
        if not is_sampled(parent):
            return None
        own = child_traceparent(parent)
        call.head = msgspec.structs.replace(call.head, traceparent=own)
        follow(own)
        return OpenSpan(own, parent)

    def ended(self, span: OpenSpan, head: CallHead, ended: Ended, upstream: Upstream, taken: int) -> None:
        """It is answered; `taken` in epoch microseconds."""
        attributes: dict[str, str | int] = {
            **span_names.of_method(head.method, head.upstream_name, upstream.era),
            span_names.ORGANISATION: head.organisation,
            span_names.PLAYBOOK: head.playbook,
            span_names.VERSION: head.version,
            span_names.SERVER: head.server,
            span_names.CALL_ID: head.call_id,
            span_names.OUTCOME: ended.outcome,
            **where(upstream.wanted.definition),
        }
        if head.digest:
            attributes[span_names.DIGEST] = head.digest
        if ended.error_code:
            attributes[span_names.STATUS_CODE] = str(ended.error_code)
        name = span_names.method_name(head.method, head.upstream_name)
        self._traces.note(
            Span(span.own, span.parent, name, "client", taken * 1000, time.time_ns(), attributes, _fault(ended))
        )


def _fault(ended: Ended) -> str:
    if ended.outcome == "ok":
        return ""
    if ended.outcome == "tool_error":
        return span_names.TOOL_ERROR
    return ended.problem or str(ended.error_code or ended.outcome)


def where(definition: ServerDefinition) -> dict[str, str | int]:
    """Host and port; never the path, the query or the user, which may be secret."""
    if definition.is_stdio:
        return {span_names.TRANSPORT: "pipe"}
    try:
        parts = urlsplit(definition.url or "")
        host, port = parts.hostname, parts.port
    except ValueError:
        return {}
    told: dict[str, str | int] = {span_names.TRANSPORT: "tcp"}
    if host:
        told[span_names.SERVER_ADDRESS] = host
        told[span_names.SERVER_PORT] = port or (443 if parts.scheme in ("https", "wss") else 80)
    return told
