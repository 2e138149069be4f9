"""What Callboard has to reach on two cores, beside what a run has seen."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench.samples import Cell, Run, median

DIRECT, CALLBOARD = "direct", "Callboard"
_MISSED = "**missed**"
_UPSTREAMS = {"http": "HTTP", "stdio": "stdio"}
_REVISIONS = {"2026": "2026-07-28", "2025": "2025-11-25"}
CONC = 64
_REACHED = 0.95  # of the calls/s that are due at half load; with less its latencies are those of a queue that grows


@dataclass(frozen=True)
class Goal:
    """A bound, and the one that would be better still; `at_least` or at most. `digits` after the point are shown."""

    text: str
    bound: float
    stretch: float | None = None
    at_least: bool = False
    unit: str = ""
    digits: int = 0

    def reaches(self, seen: float, bound: float) -> bool:
        """Whether a figure is on the right side."""
        return seen >= bound if self.at_least else seen <= bound

    def mark(self, seen: float) -> str:
        """In a word, the bad one so that it is seen."""
        if self.stretch is not None and self.reaches(seen, self.stretch):
            return "met, stretch too"
        return "met" if self.reaches(seen, self.bound) else _MISSED

    def wanted(self) -> str:
        """The bounds."""
        sign = ">=" if self.at_least else "<="
        stretch = f" (stretch {self.number(self.stretch)})" if self.stretch is not None else ""
        return f"{sign} {self.number(self.bound)}{stretch}"

    def seen(self, figure: float) -> str:
        """The figure and its mark."""
        return f"{self.number(figure)}: {self.mark(figure)}"

    def number(self, value: float) -> str:
        """A figure with its unit."""
        return f"{value:,.{self.digits}f}{self.unit}"


# What was seen; in words where that misses every bound, whatever it is; None where it was not measured.
Figure = Callable[[Run, str, str], float | str | None]


def _at(run: Run, kind: str, era: str, conc: int, field: str) -> float | None:
    return median(run.of(Cell(CALLBOARD, kind, era, conc)), field) or None


def added(run: Run, cell: Cell) -> float | None:
    """Milliseconds of p50 beyond the direct path over HTTP with as many in flight; None where there is either not."""
    own, direct = run.of(cell), run.of(Cell(DIRECT, "http", cell.era, cell.conc))
    if not median(own, "calls_per_s") or not median(direct, "calls_per_s"):
        return None
    return median(own, "p50_ms") - median(direct, "p50_ms")


def ratio(run: Run, kind: str, era: str, conc: int = CONC) -> tuple[float, str] | None:
    """Calls/s of Callboard over those of the fastest other full gateway, and its name."""
    ours = median(run.of(Cell(CALLBOARD, kind, era, conc)), "calls_per_s")
    others = {
        name: median(run.of(Cell(name, kind, era, conc)), "calls_per_s")
        for name, about in run.gateways.items()
        if about.full and name != CALLBOARD
    }
    fastest = max(others, key=lambda name: others[name], default="")
    return (ours / others[fastest], fastest) if ours and fastest and others[fastest] else None


def _times(run: Run, kind: str, era: str) -> float | None:
    found = ratio(run, kind, era)
    return found[0] if found else None


def _half_load(run: Run, gateway: str, kind: str, era: str) -> tuple[float, float] | None:
    """Its p50 and p99 at half load in ms."""
    taken = run.of(Cell(gateway, kind, era, CONC, half=True))
    p50, p99 = median(taken, "p50_ms"), median(taken, "p99_ms")
    return (p50, p99) if p50 and p99 else None


def _tail_at_half_load(run: Run, kind: str, era: str) -> float | str | None:
    """p99 over p50; in words where too few of the calls that were due were answered.

    In a queue that grows all the time it is about 2, which would look like steadiness.
    """
    found = _half_load(run, CALLBOARD, kind, era)
    times = found[1] / found[0] if found else None
    taken = [sample for sample in run.of(Cell(CALLBOARD, kind, era, CONC, half=True)) if sample.due]
    share = statistics.median(sample.calls_per_s / sample.due for sample in taken) if taken else 1.0
    if share >= _REACHED:
        return times
    few = f"only {100 * share:.1f} % of the calls/s due"
    return f"{times:,.1f} times, {few}" if times else few


def _shown_half_load(run: Run, gateway: str, kind: str, era: str) -> str:
    if (found := _half_load(run, gateway, kind, era)) is None:
        return ""
    p50, p99 = found
    return f"{p50:,.2f}, {p99:,.2f}" + (f" ({p99 / p50:,.1f} times)" if gateway == DIRECT else "")


def _of_all(figures: str) -> Figure:
    """Of the whole installation, which serves both kinds of upstream in both eras."""

    def figure(run: Run, kind: str, era: str) -> float | None:
        about = run.gateways.get(CALLBOARD)
        return getattr(about, figures).get(kind) if about else None

    return figure


HALF_LOAD = (
    f"Half load: constant arrivals over {CONC} connections, half of the calls/s at {CONC} in flight; latency is "
    "counted from when a call was due, if its connection was still busy then."
)
_TAIL = "p99 over p50 at half load"
_RATIO = "calls/s at 64 over those of the fastest other full gateway"
GOALS: tuple[tuple[Goal, Figure], ...] = (
    (
        Goal("CPU per call at 64 in flight", 300, 150, unit=" us"),
        lambda run, kind, era: _at(run, kind, era, CONC, "cpu_us"),
    ),
    (
        Goal("calls/s at 64 in flight", 4000, 8000, at_least=True),
        lambda run, kind, era: _at(run, kind, era, CONC, "calls_per_s"),
    ),
    (
        Goal("p50 added at one in flight", 0.9, 0.5, unit=" ms", digits=2),
        lambda run, kind, era: added(run, Cell(CALLBOARD, kind, era, 1)),
    ),
    (Goal(_TAIL, 3, unit=" times", digits=1), _tail_at_half_load),
    (Goal("memory of all processes after the load", 450, unit=" MiB", digits=1), _of_all("memory_mib")),
    (Goal("warm start to the first right answer", 3, unit=" s", digits=2), _of_all("warm_s")),
)
RATIOS = {
    "2026": Goal(_RATIO, 10, unit=" times", digits=1, at_least=True),
    "2025": Goal(_RATIO, 6, 10, unit=" times", digits=1, at_least=True),
}


def table(run: Run) -> str:
    """Markdown: one line for each goal, one column for each path that was measured; empty without Callboard."""
    known = {(cell.kind, cell.era) for cell in run.cells() if cell.gateway == CALLBOARD}
    paths = [(kind, era) for kind in _UPSTREAMS for era in _REVISIONS if (kind, era) in known]
    if not paths:
        return ""
    lines = [["Callboard", "target", *(f"{_REVISIONS[era]}, {_UPSTREAMS[kind]}" for kind, era in paths)]]
    lines.append(["---"] * len(lines[0]))
    for goal, figure in GOALS:
        lines.append([goal.text, goal.wanted(), *(_shown(goal, figure(run, *path)) for path in paths)])
        if goal.text == _TAIL:  # a long queue that is always as long has a good ratio: so one sees both
            own = [_shown_half_load(run, CALLBOARD, *path) for path in paths]
            lines.append(["p50 and p99 of that, ms", "", *own])
            direct = [_shown_half_load(run, DIRECT, "http", era) for _, era in paths]
            lines.append(["the same of the direct path, as many calls/s as Callboard over HTTP, ms", "", *direct])
    for era, goal in RATIOS.items():
        seen = [_shown(goal, _times(run, *path)) if path[1] == era else "" for path in paths]
        lines.append([goal.text, f"{_REVISIONS[era]}: {goal.wanted()}", *seen])
    few = f"With less than {100 * _REACHED:.0f} % of the calls/s that were due it is a miss."
    return f"{markdown(lines)}\n\n{HALF_LOAD} {few}"


def _shown(goal: Goal, figure: float | str | None) -> str:
    if isinstance(figure, str):
        return f"{figure}: {_MISSED}"
    return "not measured" if figure is None else goal.seen(figure)


def markdown(lines: Iterable[Sequence[str]]) -> str:
    """Lines of cells as a table; the second one is of dashes."""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
