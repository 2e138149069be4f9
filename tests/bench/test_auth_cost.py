"""What a token costs is told from rounds that were taken in turns, and a dear one is found out."""

from __future__ import annotations

from bench.auth import ACCESS_TOKEN, ANONYMOUS, GOAL_US, LOOKED_UP, cost, verdict
from bench.samples import Cell, Sample

DRIFT = (0.0, 40.0, -30.0, 110.0, 5.0, -60.0, 20.0, 70.0)
"""What the machine does to all ways of a round alike."""


def rounds(edge_us: float) -> list[Sample]:
    numbers = {"p50_ms": 1.0, "p95_ms": 1.0, "p99_ms": 1.0, "upstream_us": 20.0, "load_us": 10.0}
    return [
        Sample(
            Cell("x", "http", "2026", 64),
            *(0, 1.0, 100, 0, 100.0),
            **numbers,
            cpu_us=300 + edge_us + drift,
            by_process={"edge-1": edge_us + drift, "router-1": 100.0},
        )
        for drift in DRIFT
    ]


def test_what_drifts_for_all_is_no_difference() -> None:
    found = cost([100 + drift for drift in DRIFT], [103 + drift for drift in DRIFT])
    assert (found.us, found.low, found.high) == (3.0, 3.0, 3.0)


def test_a_token_that_costs_more_than_the_goal_is_told() -> None:
    cheap = {ANONYMOUS: rounds(100), LOOKED_UP: rounds(103), ACCESS_TOKEN: rounds(104)}
    text, dear = verdict(cheap)
    assert not dear
    assert "access token     +4.0 us" in text
    assert verdict({**cheap, ACCESS_TOKEN: rounds(100 + GOAL_US + 1)})[1]
