"""Spans of the router: from a sampled request's arrival until it is answered, refused or sent on.

Above: `entry/rpc.py`, which has one only where there is a collector.
"""

from __future__ import annotations

import time

import msgspec

from callboard.contracts.calls import CallHead, RpcHead
from callboard.contracts.problems import Problem
from callboard.platform import span_names
from callboard.platform.telemetry import child_traceparent
from callboard.platform.traces import Attributes, Span, Traces, is_sampled
from callboard_router.calls.resolve import Answer, Target
from callboard_router.catalogue.compiled import CompiledPlaybook

ANSWERED, FORWARDED, REFUSED = "answered", "forwarded", "refused"


class RouterSpans:
    """What is being resolved, as far as it is sampled."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces
        self._open: dict[str, tuple[str, int]] = {}

    def taken(self, head: RpcHead) -> RpcHead:
        """A request has come; the head as it goes on, with this router's span as the parent of what follows."""
        if not is_sampled(head.traceparent):
            return head
        self._open[head.call_id] = (head.traceparent, time.time_ns())
        return msgspec.structs.replace(head, traceparent=child_traceparent(head.traceparent))

    def settled(self, head: RpcHead, organisation: str, playbook: CompiledPlaybook, outcome: Answer | Target) -> None:
        """It is answered or forwarded."""
        if is_sampled(head.traceparent):
            fault = "" if isinstance(outcome, Target) else outcome.refused
            attributes: dict[str, str | int] = {
                **span_names.of_method(head.method, outcome.wire_name, head.era),
                span_names.ORGANISATION: organisation,
                span_names.PLAYBOOK: playbook.name,
                span_names.VERSION: playbook.version,
                span_names.SERVER: outcome.server,
                span_names.DIGEST: outcome.digest,
                span_names.OUTCOME: FORWARDED if isinstance(outcome, Target) else REFUSED if fault else ANSWERED,
            }
            self._over(head, attributes, fault)

    def ended(self, head: RpcHead, organisation: str, playbook: CompiledPlaybook | None, problem: str) -> None:
        """It is refused, or (without a problem) answered for several playbooks at once."""
        if is_sampled(head.traceparent):
            attributes: dict[str, str | int] = {
                **span_names.of_method(head.method, "", head.era),
                span_names.ORGANISATION: organisation,
                span_names.OUTCOME: REFUSED if problem else ANSWERED,
            }
            if playbook is not None:
                attributes |= {span_names.PLAYBOOK: playbook.name, span_names.VERSION: playbook.version}
            self._over(head, attributes, problem)

    def not_placed(self, head: CallHead, problem: Problem) -> None:
        """A call was forwarded, and nobody was there to take it."""
        if is_sampled(head.traceparent):
            own = child_traceparent(head.traceparent)
            attributes: dict[str, str | int] = {
                **span_names.of_method(head.method, head.wire_name, head.era),
                span_names.ORGANISATION: head.organisation,
                span_names.PLAYBOOK: head.playbook,
                span_names.VERSION: head.version,
                span_names.SERVER: head.server,
            }
            began, now = head.routed * 1000, time.time_ns()
            self._traces.note(Span(own, head.traceparent, "place", "internal", began, now, attributes, problem.code))

    def _over(self, head: RpcHead, attributes: Attributes, fault: str) -> None:
        parent, began = self._open.pop(head.call_id, ("", 0))
        if parent:
            told = {key: value for key, value in attributes.items() if value != ""}
            name = f"route {head.method}"
            self._traces.note(Span(head.traceparent, parent, name, "internal", began, time.time_ns(), told, fault))
