"""What the benchmarks of the log print."""

from __future__ import annotations

from typing import NamedTuple


class Figure(NamedTuple):
    """One measured figure and what it has to be."""

    name: str
    value: float
    unit: str
    goal: float
    at_least: bool

    @property
    def reached(self) -> bool:
        """Whether the figure is on the right side of its goal."""
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        verdict = "reached" if self.reached else "MISSED"
        return f"{self.name:<52} {self.value:>10,.1f} {self.unit:<9} {sign} {self.goal:>8,.0f}  {verdict}"
