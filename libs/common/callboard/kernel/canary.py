"""Trying a version on a share of the callers: whom it is tried on, and the condition that ends it. Pure.

A condition is one or more comparisons joined by `or`: `errors > 2%`, `tool_errors > 5%`, `timeouts > 1%`,
`p99 > 800ms`. Errors are calls that ended in an error, a time-out, or in nobody knows what.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

_SHARE = re.compile(r"(errors|tool_errors|timeouts)\s*>\s*(\d+(?:\.\d+)?)\s*%")
_TIME = re.compile(r"(p99)\s*>\s*(\d+(?:\.\d+)?)\s*ms")
FORMS = "errors > 2%, tool_errors > 5%, timeouts > 1% or p99 > 800ms, joined by `or`"


class Figures(NamedTuple):
    """What was seen of one version: numbers of calls, and the 99th percentile of their whole time in ms."""

    calls: int = 0
    errors: int = 0
    tool_errors: int = 0
    timeouts: int = 0
    p99: float = 0.0

    def value(self, measure: str) -> float:
        """A measure as conditions mean it: percent of the calls, or milliseconds."""
        if measure == "p99":
            return self.p99
        counted: int = getattr(self, measure)
        return 100.0 * counted / self.calls if self.calls else 0.0


class Comparison(NamedTuple):
    """One part of a condition: it holds when the measure is over the limit."""

    measure: str
    limit: float

    @property
    def unit(self) -> str:
        """What the limit is of."""
        return "ms" if self.measure == "p99" else "%"

    def told(self, figures: Figures) -> str:
        """The measure with its unit, as it was seen."""
        return f"{self.measure} {figures.value(self.measure):.4g}{self.unit}"


Condition = tuple[Comparison, ...]


def parse_condition(text: str) -> Condition:
    """A condition from its text; raises ValueError with a sentence for people."""
    return tuple(_comparison(part.strip()) for part in re.split(r"\bor\b", text))


def _comparison(text: str) -> Comparison:
    found = _SHARE.fullmatch(text) or _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no condition; write {FORMS}")
    comparison = Comparison(found[1], float(found[2]))
    if comparison.unit == "%" and comparison.limit >= 100:
        raise ValueError(f"{text!r} can never be: there are no more than 100%")
    return comparison


def broken(condition: Condition, figures: Figures) -> Comparison | None:
    """The first comparison that holds."""
    return next((one for one in condition if figures.value(one.measure) > one.limit), None)


def is_chosen(playbook: str, canary: str, caller: str, percent: float) -> bool:
    """Whether a caller is among those that a canary is tried on: always the same answer, whoever asks."""
    seed = f"{playbook}\n{canary}\n{caller}".encode()
    place = int.from_bytes(hashlib.blake2b(seed, digest_size=8).digest())
    return place * 100 < percent * 2**64
