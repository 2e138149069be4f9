"""What a caller and the call log learn of a request that was not sent to any server."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import msgspec

from callboard.contracts import subjects
from callboard.contracts.calls import CallHead, CallRecord, RpcHead, encode_record
from callboard.contracts.problems import Problem


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
    organisation: str,
    playbook: str,
    version: int,
    head: RpcHead | CallHead,
    tool: str,
    server: str,
    digest: str,
    problem: str,
    size: int,
) -> tuple[str, bytes]:
    """Subject and JSON of the call record of a refused call."""
    elapsed = max(0, time.time_ns() // 1000 - head.received)
    record = CallRecord(
        call_id=head.call_id,
        organisation=organisation,
        playbook=playbook,
        version=version,
        method=head.method,
        server=server,
        tool=tool,
        upstream_name="",
        digest=digest,
        client=head.client,
        principal=head.principal,
        era=head.era,
        outcome="refused",
        problem=problem,
        started_at=datetime.fromtimestamp(head.received / 1e6, UTC),
        router_us=elapsed,
        total_us=elapsed,
        request_bytes=size,
        trace_id=head.traceparent[3:35],
    )
    return subjects.record(organisation, playbook), encode_record(record)
