"""The checker itself: a broken relay and made-up results that it must catch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conformance import expectations
from tests.conformance.configurations import DIRECT, THROUGH, Configuration
from tests.conformance.expectations import BadExpectation, Verdict
from tests.conformance.suite import Needed, Report, SuiteBroken, outcome, outcomes, run_server_suite
from tests.support.round_robin import RoundRobin
from tests.support.upstreams.launch import running

REVISION = "2025-11-25"
SCENARIOS = ("ping", "tools-list", "server-sse-polling")
HERE = Configuration(REVISION, "2025", "stdio", 2)
LISTED = """
server:
  - scenarios: [ping]
    where: {revision: 2025-11-25, upstream: 2025, transport: stdio, replicas: 2}
    reason: because
"""
GOOD = {"ping": ["SUCCESS"] * 2, "tools-list": ["SUCCESS"] * 3, "server-sse-polling": ["SUCCESS"] * 3 + ["INFO"]}


def found(folder: Path, **changed: list[str] | None) -> Report:
    """A report on files as the suite writes them; None stands for a scenario that left none."""
    statuses = GOOD | {name.replace("_", "-"): value for name, value in changed.items()}
    for name, values in statuses.items():
        if values is not None:
            target = folder / f"server-{name}-2026-11-20T08-22-08-121Z"
            target.mkdir()
            checks = [{"id": name, "status": status, "errorMessage": "it broke"} for status in values]
            (target / "checks.json").write_text(json.dumps(checks))
    return outcomes(folder, REVISION, SCENARIOS[:2], SCENARIOS[2:])


def judged(report: Report, text: str = "server: []", where: Configuration = HERE) -> Verdict:
    return expectations.judge(report, where, expectations.parse(text))


class WithoutPictures(RoundRobin):
    """A relay that spoils one kind of content."""

    def answered(self, data: bytes) -> bytes:
        return data.replace(b'"type":"image"', b'"type":"imago"')


async def test_a_relay_that_breaks_pictures_is_caught() -> None:
    async with running("everything") as upstream, WithoutPictures([upstream.port]) as relay:
        report = await run_server_suite(f"http://localhost:{relay.port}/mcp", REVISION)
    assert set(judged(report).unexpected) == {
        "tools-call-image",
        "tools-call-mixed-content",
        "prompts-get-with-image",
    }


async def test_a_server_that_is_not_there_passes_nothing() -> None:
    async with RoundRobin([1]) as nobody:
        url = f"http://localhost:{nobody.port}/mcp"
        try:
            report = await run_server_suite(url, REVISION)
        except SuiteBroken:
            return
    assert report.passed()[0] == 0


def test_results_without_a_fault_are_good(tmp_path: Path) -> None:
    report = found(tmp_path)
    assert judged(report).good
    assert (report.passed(), report.passed(scored_only=True), report.checks()) == ((3, 3), (2, 2), (8, 8))


@pytest.mark.parametrize(
    ("statuses", "why"),
    [
        (["SUCCESS", "FAILURE"], "ping failed: it broke"),
        (["SUCCESS", "SUCCESS", "WARNING"], "ping warned: it broke"),
        (["SUCCESS", "SUCCESS", "SKIPPED"], "ping skipped: it broke"),
        (["SUCCESS"], "only 1 of 2 checks"),
        ([], "only 0 of 2 checks"),
        (None, "did not run"),
    ],
)
def test_every_kind_of_fault_is_caught(tmp_path: Path, statuses: list[str] | None, why: str) -> None:
    assert judged(found(tmp_path, ping=statuses)).unexpected == {"ping": why}


@pytest.mark.parametrize(("skipped", "passes"), [(0, True), (2, True), (3, False)])
def test_a_scenario_may_skip_what_it_skips_of_the_reference_too(tmp_path: Path, skipped: int, passes: bool) -> None:
    file = tmp_path / "checks.json"
    statuses = ["SUCCESS", *["SKIPPED"] * skipped]
    file.write_text(json.dumps([{"id": "header", "status": status} for status in statuses]))
    assert outcome("http-standard-headers", True, Needed(1, skipped=2), file).passed == passes


def test_a_listed_fault_is_expected_only_where_it_is_listed(tmp_path: Path) -> None:
    report = found(tmp_path, ping=["FAILURE"])
    assert judged(report, LISTED) == Verdict({}, frozenset(), frozenset({"ping"}))
    elsewhere = Configuration(REVISION, "2025", "http", 2)
    assert not judged(report, LISTED, elsewhere).good
    assert not judged(report, LISTED.replace("where:", "# "), DIRECT[0]).good


@pytest.mark.parametrize(("faults", "good"), [(0, True), (1, True), (2, False)])
async def test_a_fault_counts_when_it_is_there_twice(tmp_path: Path, faults: int, good: bool) -> None:
    runs = 0

    async def run() -> Report:
        nonlocal runs
        runs += 1
        folder = tmp_path / str(runs)
        folder.mkdir()
        return found(folder, ping=["FAILURE"]) if runs <= faults else found(folder)

    _, verdict = await expectations.judged(run, HERE, [])
    assert (verdict.good, runs) == (good, min(faults + 1, 2))


def test_a_listed_fault_that_is_gone_fails_too(tmp_path: Path) -> None:
    verdict = judged(found(tmp_path), LISTED)
    assert not verdict.good
    assert verdict.stale == {"ping"}
    assert "take it off" in str(verdict)


@pytest.mark.parametrize(
    ("old", "new"), [("reason: because", ""), ("transport", "carrier"), ("reason", "excuse"), ("[ping]", "[]")]
)
def test_an_entry_that_says_nothing_is_refused(old: str, new: str) -> None:
    with pytest.raises(BadExpectation):
        expectations.parse(LISTED.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"), [("ping", "pong"), ("ping", "caching"), ("replicas: 2", "replicas: 7"), ("stdio", "carrier")]
)
def test_an_entry_about_nothing_that_is_run_is_named(old: str, new: str) -> None:
    assert expectations.idle(expectations.parse(LISTED), THROUGH) == []
    assert expectations.idle(expectations.parse(LISTED.replace(old, new)), THROUGH) != []


def test_every_expectation_speaks_of_a_scenario_that_is_run() -> None:
    assert expectations.idle(expectations.load(), THROUGH) == []
