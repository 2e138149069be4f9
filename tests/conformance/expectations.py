"""What is expected not to pass, and the judgement by it: unlisted faults fail, and so do listed ones that pass."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from tests.conformance.configurations import Arrangement, AuthorizationSet, ClientSet, Configuration
from tests.conformance.suite import Report, needed

FILE = Path(__file__).with_name("expected.yaml")
_WHERE = {some.leg: {field.name for field in fields(some)} for some in (Configuration, ClientSet, AuthorizationSet)}
_KEYS = {"scenarios", "where", "reason"}


class BadExpectation(Exception):
    """An entry of the list says nothing that could be checked."""


@dataclass(frozen=True)
class Expectation:
    """These scenarios do not pass in every configuration that has these values (none: in all)."""

    scenarios: frozenset[str]
    where: dict[str, str]
    reason: str

    def covers(self, configuration: Arrangement) -> bool:
        return all(str(getattr(configuration, key)) == value for key, value in self.where.items())


@dataclass(frozen=True)
class Verdict:
    """Unlisted faults with their words, and listed scenarios that pass by now."""

    unexpected: dict[str, str]
    stale: frozenset[str]
    expected: frozenset[str] = frozenset()

    @property
    def good(self) -> bool:
        return not self.unexpected and not self.stale

    def __str__(self) -> str:
        lines = [f"{scenario}: {why}" for scenario, why in self.unexpected.items()]
        return "\n".join(
            [*lines, *(f"{scenario}: passes, take it off expected.yaml" for scenario in sorted(self.stale))]
        )


def parse(text: str, leg: str = "server") -> list[Expectation]:
    """The entries of a leg; raises `BadExpectation` for one without a reason, or with a key that means nothing."""
    return [_expectation(entry, _WHERE[leg]) for entry in yaml.safe_load(text).get(leg) or ()]


def load(leg: str = "server") -> list[Expectation]:
    return parse(FILE.read_text(), leg)


def judge(report: Report, configuration: Arrangement, expectations: Iterable[Expectation]) -> Verdict:
    """The reference run without Callboard has no excuse, whatever the list says."""
    applying = [] if configuration.direct else [entry for entry in expectations if entry.covers(configuration)]
    known = {outcome.scenario for outcome in report.outcomes}
    listed = frozenset(name for entry in applying for name in entry.scenarios) & known
    failing = report.not_passing
    return Verdict(
        unexpected={name: outcome.why for name, outcome in failing.items() if name not in listed},
        stale=listed - failing.keys(),
        expected=listed & failing.keys(),
    )


async def judged(
    run: Callable[[], Awaitable[Report]], configuration: Arrangement, expectations: Iterable[Expectation]
) -> tuple[Report, Verdict]:
    """The suite has time limits of its own, which a busy machine breaks: a fault counts when it is there twice."""
    listed = list(expectations)
    report = await run()
    verdict = judge(report, configuration, listed)
    if not verdict.good:
        report = await run()
        verdict = judge(report, configuration, listed)
    return report, verdict


def idle(expectations: Iterable[Expectation], configurations: Iterable[Arrangement]) -> list[str]:
    """Scenarios of entries that no configuration runs."""
    run = list(configurations)
    return [
        name
        for entry in expectations
        for name in sorted(entry.scenarios)
        if not any(entry.covers(one) and name in needed(one.revision, one.leg) for one in run)
    ]


def _expectation(entry: dict[str, Any], keys: set[str]) -> Expectation:
    where = {key: str(value) for key, value in (entry.get("where") or {}).items()}
    if entry.keys() - _KEYS or where.keys() - keys or not entry.get("reason") or not entry.get("scenarios"):
        raise BadExpectation(f"an entry has `scenarios`, `reason` and perhaps `where` with {sorted(keys)}: {entry}")
    return Expectation(frozenset(entry["scenarios"]), where, entry["reason"])
