"""The record that every call leaves, whatever became of it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from callboard.contracts import subjects
from callboard.contracts.calls import CallHead, CallRecord
from callboard_connectors.calls.content import content_of
from callboard_connectors.calls.domain import Ended
from callboard_connectors.sessions.upstream import Upstream


def record_subject(head: CallHead) -> str:
    """Where the record of a call goes."""
    return f"{subjects.RECORD}.{head.organisation}.{head.playbook}"


def record_of(head: CallHead, ended: Ended, upstream: Upstream, params: bytes, worker: str, taken: int) -> CallRecord:
    """Who called what under which version, how it went, and how long it took; `taken` here, in epoch microseconds."""
    return CallRecord(
        call_id=head.call_id,
        organisation=head.organisation,
        playbook=head.playbook,
        version=head.version,
        method=head.method,
        server=head.server,
        tool=head.wire_name,
        upstream_name=head.upstream_name,
        digest=head.digest,
        client=head.client,
        principal=head.principal,
        era=head.era,
        upstream_era=upstream.era,
        outcome=ended.outcome,
        error_code=ended.error_code,
        problem=ended.problem,
        started_at=datetime.fromtimestamp(head.received / 1_000_000, UTC),
        router_us=max(0, head.routed - head.received),
        upstream_us=ended.upstream_us,
        total_us=max(0, time.time_ns() // 1000 - head.received),
        request_bytes=len(params),
        response_bytes=len(ended.body),
        trace_id=head.traceparent[3:35],
        connector=worker,
        connector_us=max(0, taken - head.routed),
        replay_of=head.replay_of,
        content=content_of(head.recording, params, ended) if head.recording else None,
    )
