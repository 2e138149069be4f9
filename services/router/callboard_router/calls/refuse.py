"""What a caller and the call log learn of a request that was not sent to any server."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import msgspec

from callboard.contracts import subjects
from callboard.contracts.calls import CallHead, CallRecord, RpcHead, encode_record
from callboard.contracts.problems import Problem
from callboard_router.calls.resolve import Answer


def error_body(problem: Problem, call_id: str) -> bytes:
    """The JSON-RPC error object of a problem of ours."""
    return msgspec.json.encode(
        {
            "code": problem.rpc_code,
            "message": problem.message,
            "data": {"code": problem.code, "hint": problem.hint, "call_id": call_id, **problem.data},
        }
    )


def refusal_record(
    organisation: str, playbook: str, version: int, head: RpcHead | CallHead, answer: Answer, size: int
) -> tuple[str, bytes]:
    """Subject and JSON of the call record of a refused call; `size` is that of its params."""
    elapsed = max(0, time.time_ns() // 1000 - head.received)
    record = CallRecord(
        call_id=head.call_id,
        organisation=organisation,
        playbook=playbook,
        version=version,
        method=head.method,
        server=answer.server,
        tool=answer.wire_name,
        upstream_name="",
        digest=answer.digest,
        client=head.client,
        principal=head.principal,
        era=head.era,
        outcome="refused",
        problem=answer.refused,
        started_at=datetime.fromtimestamp(head.received / 1e6, UTC),
        router_us=elapsed,
        total_us=elapsed,
        request_bytes=size,
        response_bytes=len(answer.result),
        trace_id=head.traceparent[3:35],
        replay_of=head.replay_of,
    )
    return subjects.record(organisation, playbook), encode_record(record)
