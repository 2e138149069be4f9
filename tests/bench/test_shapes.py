"""Other traffic than an echo: what is compared is measured in pairs, and judged by them."""

from __future__ import annotations

from collections.abc import Sequence

from bench.samples import Cell, Run, Sample
from bench.scenes import content_of
from bench.shapes import missing
from bench.shapes_report import goals, report
from bench.traffic import LISTED, PLAIN, TRAFFIC, steps, wanted


def taken(cell: Cell, cpu_us: float, number: int = 0) -> Sample:
    numbers = {"p50_ms": 15.0, "p95_ms": 20.0, "p99_ms": 30.0, "upstream_us": 20.0, "load_us": 10.0}
    by_process = {"callboard_edge": 0.7 * cpu_us, "nats-server": 0.3 * cpu_us}
    return Sample(cell, number, 1.5, 6000, 0, 4000.0, **numbers, cpu_us=cpu_us, by_process=by_process)


def run_of(*samples: Sample) -> Run:
    return Run("a machine", "abc", {}, "today", samples=list(samples))


def paired(name: str, costs: Sequence[tuple[float, float]]) -> Run:
    """Pairs of the plain echo and of a line, which cost so much."""
    one = next(one for one in TRAFFIC if one.name.startswith(name))
    cells = (one.base.cell, one.cell)
    pairs = enumerate(costs)
    return run_of(*(taken(*of, number) for number, pair in pairs for of in zip(cells, pair, strict=True)))


def test_a_line_is_flat_by_the_middle_of_its_ratios_to_the_plain_one_of_the_same_pair() -> None:
    run = paired("echo among 10,000 tools", [(200.0, 210.0), (400.0, 480.0), (100.0, 104.0)])
    line = "echo among 10,000 tools: CPU per call over that of the plain echo | <= 1.10 times | 1.05 times: met | "
    assert line + "1.04 to 1.20 in 3 pairs" in goals(run)
    run.samples[-1].cpu_us = run.samples[1].cpu_us = 1000.0
    assert "**missed**" in goals(run)


def test_two_of_each_are_judged_by_twice_the_calls_that_their_cpu_allows() -> None:
    costs = [(170.0, 200.0), (180.0, 198.0), (150.0, 250.0)]
    text = report(paired("echo, two of each service, 64 in flight for each", costs))
    assert "| >= 1.70 times | 1.70 times: met | 1.20 to 1.82 in 3 pairs |" in text
    assert "| services | in flight | calls/s | CPU us per call | edge | nats-server | upstream |" in text
    assert "| one of each | 64 | 4,000 | 170 | 119 | 51 | 20 |" in text
    assert "| two of each | 128 | 4,000 | 200 | 140 | 60 | 20 |" in text
    worse = paired("echo, two of each service, 64 in flight for each", [(170.0, 210.0)])
    assert "1.62 times: **missed**" in goals(worse)
    halved = goals(paired("echo, two of each service, 64 in flight for both", [(170.0, 340.0)]))
    assert "|  | 1.00 times | 1.00 to 1.00 in 1 pairs |" in halved


def test_lists_are_judged_by_what_a_thousand_tools_cost() -> None:
    line = "| tools/list of 1,000, a page of 1,000: CPU per call, served from prepared bytes | <= 1,000 us | "
    assert line + "599 us: met |" in goals(run_of(taken(LISTED.cell, 599.0)))
    assert "1,001 us: **missed**" in goals(run_of(taken(LISTED.cell, 1001.0)))


def test_pairs_stand_side_by_side_and_each_is_as_often_the_first() -> None:
    flat = next(one for one in TRAFFIC if one.compared)
    found = [step for step in steps([PLAIN, flat], 3) if step.paired]
    assert len(found) == 12
    firsts = []
    for first, second in zip(found[::2], found[1::2], strict=True):
        assert (first.number, {first.one, second.one}) == (second.number, {flat, flat.base})
        firsts.append(first.one)
    assert firsts.count(flat) == firsts.count(flat.base) == 3
    cells = [(step.cell, step.number) for step in steps(TRAFFIC, 3)]
    assert len(cells) == len(set(cells))


def test_a_run_that_was_stopped_within_a_pair_takes_both_of_it_again() -> None:
    flat = next(one for one in TRAFFIC if one.compared)
    plan = steps([PLAIN, flat], 2)
    for stopped in range(len(plan) + 1):
        run = run_of(*(taken(step.cell, 200.0, step.number) for step in plan[:stopped]))
        left = missing(run, [PLAIN, flat], 2)
        kept = len(plan) - len(left)
        assert left == plan[kept:]
        assert [(sample.cell, sample.round) for sample in run.samples] == [
            (step.cell, step.number) for step in plan[:kept]
        ]
        within_a_pair = 0 < stopped < len(plan) and plan[stopped].paired and plan[stopped - 1].paired
        within_a_pair = within_a_pair and plan[stopped].number == plan[stopped - 1].number
        assert kept == stopped - within_a_pair


def test_tools_are_spread_over_fifty_servers() -> None:
    content = content_of("tools1000", lambda copies: f"http://127.0.0.1/{copies}")
    assert len(content["servers"]) == 50
    assert {server["url"] for server in content["servers"].values()} == {"http://127.0.0.1/13"}
    assert content["servers"].keys() == content["playbooks"]["bench"]["servers"].keys()
    assert len(content_of("playbooks1000", str)["playbooks"]) == 1000
    assert [one.name for one in wanted("100 KB")] == ["result of 100 KB"]
    assert [one.name for one in wanted("playbooks")] == ["echo, 1,000 playbooks"]
    assert wanted("") == list(TRAFFIC)
