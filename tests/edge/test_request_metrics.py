"""What the edge counts comes out in the form that Prometheus reads."""

from __future__ import annotations

import time

from callboard_edge.health.metrics import BUCKETS, Metrics


def test_requests_are_counted_by_method_era_and_problem_and_timed_by_method() -> None:
    metrics, now = Metrics(), time.time_ns() // 1000
    for milliseconds in (0, 3, 30, 90_000):
        metrics.request("tools/call", "2026-07-28", "", now - milliseconds * 1000)
    metrics.request("tools/call", "2025-11-25", "tool.unknown", now)
    lines = metrics.text().decode().splitlines()
    counted = 'callboard_requests_total{era="2026-07-28",method="tools/call",problem=""} 4.0'
    assert counted in lines
    assert 'callboard_requests_total{era="2025-11-25",method="tools/call",problem="tool.unknown"} 1.0' in lines
    within = [line for line in lines if line.startswith("callboard_request_seconds_bucket")]
    assert len(within) == len(BUCKETS) + 1
    assert 'callboard_request_seconds_bucket{le="60.0",method="tools/call"} 4.0' in within
    assert 'callboard_request_seconds_bucket{le="+Inf",method="tools/call"} 5.0' in within
    assert 'callboard_request_seconds_count{method="tools/call"} 5.0' in lines
