"""Whether a canary goes on, is promoted, or ends, and in which words the log keeps why. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from callboard.contracts.assignments import CanaryLine
from callboard.kernel.canary import Condition, Figures, broken, parse_condition

SETTLING = timedelta(seconds=2)
"""How long records of the last calls may take to arrive."""


class Verdict(NamedTuple):
    """What is to happen to a canary, and the comment to it."""

    outcome: Literal["promote", "failed", "inconclusive"]
    comment: str


def judge(canary: CanaryLine, seen: Mapping[int, Figures], now: datetime) -> Verdict | None:
    """The verdict, or None while it is too early. `seen`: version -> what was seen of it since the canary began."""
    figures = seen.get(canary.version, Figures())
    condition = parse_condition(canary.condition)
    fault = broken(condition, figures)
    where = f"in {_calls(figures)} of version {canary.version}{_others(canary, condition, seen)}"
    if fault is not None and figures.calls >= canary.min_calls:
        return Verdict("failed", f"{fault.told(figures)} is over {fault.limit:g}{fault.unit} {where}")
    if now < canary.until + SETTLING:
        return None
    if figures.calls < canary.min_calls:
        text = f"its time was over after {_calls(figures)} of version {canary.version}; {canary.min_calls} were needed"
        return Verdict("inconclusive", text)
    return Verdict("promote", f"{', '.join(one.told(figures) for one in condition)} {where}")


def _calls(figures: Figures) -> str:
    return f"{figures.calls:,} call{'' if figures.calls == 1 else 's'}"


def _others(canary: CanaryLine, condition: Condition, seen: Mapping[int, Figures]) -> str:
    """The same measures of the other versions, for comparison."""
    others = [
        f"{', '.join(one.told(figures) for one in condition)} in {_calls(figures)} of version {version}"
        for version, figures in sorted(seen.items())
        if version != canary.version
    ]
    return f" ({'; '.join(others)})" if others else ""
