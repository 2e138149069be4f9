"""Half load: calls are due at a constant rate, half of the median calls/s of the gateway at 64 in flight.

The direct path gets as many as Callboard over HTTP, not half of its own: so one sees what the machine and the load
generator are like at that rate. These two are measured in every round, the others in the first.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.measure import Length
from bench.samples import Cell, Run, median
from bench.targets import CALLBOARD, CONC, DIRECT

_EACH_ROUND = (DIRECT, CALLBOARD)
_TIMES_AS_LONG, _WARMUP = 3, 1.0
# A p99 rests on this many calls if that takes no longer than a sample may; with less than the fewest it is left out.
_CALLS, _FEWEST = 300, 100
_LONGEST = Length.longest().secs


def cells(full: Sequence[Cell]) -> list[Cell]:
    """Those of half load, in the order of those at full load: the direct path beside Callboard, and not without it."""
    same = [cell for cell in full if cell.conc == CONC]
    ours = {(cell.kind, cell.era) for cell in same if cell.gateway == CALLBOARD}
    return [
        Cell(cell.gateway, cell.kind, cell.era, CONC, half=True)
        for cell in same
        if cell.gateway != DIRECT or (cell.kind, cell.era) in ours
    ]


def rate(run: Run, cell: Cell) -> float | None:
    """Calls/s that are due, by the samples that the run has so far; None when full load was not measured yet."""
    measured = CALLBOARD if cell.gateway == DIRECT else cell.gateway
    taken = run.of(Cell(measured, cell.kind, cell.era, CONC))
    return median(taken, "calls_per_s") / 2 if taken else None


def is_due(run: Run, cell: Cell, number: int, unknown: bool = False) -> bool:
    """Whether it is measured in this round; not where the longest sample has too few calls for a p99.

    `unknown` is what is said of those whose full load was not measured yet.
    """
    if number and cell.gateway not in _EACH_ROUND:
        return False
    due = rate(run, cell)
    return unknown if due is None else due * _LONGEST >= _FEWEST


def length(run: Run, cell: Cell, secs: float) -> Length:
    """Three times as long as other samples for the two that are compared, and as it takes for the calls of a p99."""
    if cell.gateway in _EACH_ROUND:
        return Length(_WARMUP, _TIMES_AS_LONG * secs)
    due = rate(run, cell) or 1.0
    return Length(max(0.3, min(CONC / (2 * due), 2.0)), max(secs, min(_CALLS / due, _LONGEST)))


def left_out(run: Run) -> list[Cell]:
    """Measured at full load, and too slow for half of it; none in a run that has no half load at all."""
    full = [cell for cell in run.cells() if cell.conc == CONC and median(run.of(cell), "calls_per_s")]
    return [cell for cell in cells(full) if run.cells(half=True) and not is_due(run, cell, 0)]
