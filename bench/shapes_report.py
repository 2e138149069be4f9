"""What a run of `--shapes` has seen, as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bench.samples import Run, Sample, median
from bench.targets import Goal, markdown
from bench.traffic import DOUBLED, LISTED, TRAFFIC, TWO, Traffic, direct

_PREPARED = Goal("CPU per call, served from prepared bytes", 1000, unit=" us")
_SHOWN_US = 0.5


def report(run: Run) -> str:
    """The whole of shapes.md."""
    options = " ".join(f"--{name} {value}" for name, value in run.options.items() if value)
    noisy = sum(sample.noisy for sample in run.samples)
    where = (
        f'`make bench BENCH_ARGS="--shapes {options}"` at {run.revision or "an unknown revision"}, begun '
        f"{run.started}, {run.minutes:.0f} minutes, on {run.machine}. Medians over the rounds; "
        f"{noisy} of {len(run.samples)} samples were taken while others used the machine."
        + ("" if run.finished else " **The run is not finished.**")
    )
    parts = [
        "## Other traffic, through Callboard alone",
        where,
        *_goals(run),
        table(run),
        "\n".join(run.notes),
        *_scale(run),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def ratios(run: Run, one: Traffic) -> list[float]:
    """For each pair, CPU per call over that of the plain echo; or for two of each, how many times the calls/s."""
    plain = {sample.round: sample.cpu_us for sample in run.of(one.base.cell) if sample.cpu_us}
    pairs = [(plain[taken.round], taken.cpu_us) for taken in run.of(one.cell) if taken.cpu_us and taken.round in plain]
    return [2 * base / own if one.compared == DOUBLED else own / base for base, own in pairs]


def goals(run: Run) -> str:
    """Markdown: what has to be flat, what grows with cores, what is served from prepared bytes, beside the bounds."""
    lines = [["Callboard", "target", "seen", "lowest to highest"], ["---"] * 4]
    for one in TRAFFIC:
        if (goal := one.compared) and (found := ratios(run, one)):
            middle = statistics.median(found)
            seen = goal.seen(middle) if one.bound else goal.number(middle)
            around = f"{min(found):.2f} to {max(found):.2f} in {len(found)} pairs"
            lines.append([f"{one.name}: {goal.text}", goal.wanted() if one.bound else "", seen, around])
    if listed := [sample.cpu_us for sample in run.of(LISTED.cell) if sample.cpu_us]:
        seen, around = _PREPARED.seen(statistics.median(listed)), f"{min(listed):,.0f} to {max(listed):,.0f} us"
        lines.append([f"{LISTED.name}: {_PREPARED.text}", _PREPARED.wanted(), seen, around])
    return markdown(lines) if lines[2:] else ""


def _goals(run: Run) -> list[str]:
    text = (
        "What is compared was measured in pairs with the plain echo of one of each service at 64 in flight, one right "
        "after the other and each as often the first; the middle of the ratios of all pairs counts."
    )
    return ["### Targets", text, found, "### All lines"] if (found := goals(run)) else []


def table(run: Run, traffic: Sequence[Traffic] = TRAFFIC) -> str:
    """Markdown."""
    head = ["traffic", "in flight", "calls/s", "p50 ms", "p99 ms", "CPU us per call", "direct p50 ms", "wrong"]
    lines = [head, ["---"] * len(head)]
    for one in traffic:
        taken = run.of(one.cell)
        alone = median(run.of(direct(one)), "p50_ms")
        if not taken:
            continue
        rate, p50, p99, cpu = (median(taken, field) for field in ("calls_per_s", "p50_ms", "p99_ms", "cpu_us"))
        wrongs = str(sum(sample.errors for sample in taken))
        figures = (f"{one.conc:,}", f"{rate:,.0f}", f"{p50:,.2f}", f"{p99:,.2f}", f"{cpu:,.0f}")
        lines.append([one.name, *figures, f"{alone:,.2f}" if alone else "", wrongs])
    return markdown(lines)


def _scale(run: Run) -> list[str]:
    """Where the CPU of one and of two of each service goes."""
    rows: list[tuple[str, int, list[Sample]]] = []
    for one in TWO:
        rows += [("one of each", one.base.conc, run.of(one.base.cell)), ("two of each", one.conc, run.of(one.cell))]
    rows = [row for row in rows if row[2]]
    costs = [_by_process(taken) for _, _, taken in rows]
    if not rows:
        return []
    seen = {name for cost in costs for name, us in cost.items() if us >= _SHOWN_US}
    names = sorted(sorted(seen), key=lambda name: -costs[0].get(name, 0.0))
    shown = [name.removeprefix("callboard_") for name in names]
    lines = [["services", "in flight", "calls/s", "CPU us per call", *shown, "upstream"]]
    lines.append(["---"] * len(lines[0]))
    for (what, conc, taken), cost in zip(rows, costs, strict=True):
        whole = [f"{median(taken, field):,.0f}" for field in ("calls_per_s", "cpu_us")]
        each = [f"{cost.get(name, 0.0):.0f}" for name in names]
        lines.append([what, str(conc), *whole, *each, f"{median(taken, 'upstream_us'):.0f}"])
    return ["### Two of each service, in pairs with one of each", markdown(lines)]


def _by_process(taken: Sequence[Sample]) -> dict[str, float]:
    """The middle of what each process, or both of a kind, cost per call."""
    names = dict.fromkeys(name for sample in taken for name in sample.by_process)
    return {name: statistics.median(sample.by_process.get(name, 0.0) for sample in taken) for name in names}
