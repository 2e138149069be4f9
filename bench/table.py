"""The Markdown table of a run; again from its JSON with `python -m bench.table .bench/results.json`.

It prints the table, and writes table.md and plot.svg beside the JSON.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bench.plot import plot
from bench.samples import Cell, Run, Store, median, spread

DIRECT, CALLBOARD = "direct", "Callboard"
REVISIONS = {"2026": "2026-07-28", "2025": "2025-11-25"}
_UPSTREAMS = {"http": "HTTP", "stdio": "stdio"}


def report(run: Run) -> str:
    """The whole of table.md."""
    parts = [
        "# `tools/call` through MCP gateways",
        _where(run),
        _summary(run),
        *_ratios(run),
        "## By calls in flight",
        _details(run),
        "## Not measured",
        _missing(run),
        "## How much to trust it",
        _trust(run),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _where(run: Run) -> str:
    options = " ".join(f"--{name} {value}" for name, value in run.options.items() if value)
    return (
        f'`make bench BENCH_ARGS="{options}"` at {run.revision or "an unknown revision"}, begun {run.started}, on '
        f"{run.machine}, which load generator and upstream share. An echo tool, every answer checked; medians over the "
        "rounds. CPU is user and system time of all processes of a gateway, without upstream and load generator."
        + ("" if run.finished else " **The run is not finished.**")
    )


def cells_of(run: Run, gateway: str, kind: str, era: str) -> dict[int, Cell]:
    """By calls in flight."""
    return {cell.conc: cell for cell in run.cells() if (cell.gateway, cell.kind, cell.era) == (gateway, kind, era)}


def paths(run: Run) -> list[tuple[str, str, str]]:
    """Gateway, kind and era of every line: by kind and era, the direct path and the fastest first."""
    known = {(cell.gateway, cell.kind, cell.era) for cell in run.cells()}
    concs = {cell.conc for cell in run.cells()}
    at = 64 if 64 in concs else max(concs, default=1)

    def order(path: tuple[str, str, str]) -> tuple[object, ...]:
        gateway, kind, era = path
        about = run.gateways[gateway]
        group = 0 if gateway == DIRECT else 1 if about.full else 2
        rate = median(run.of(Cell(gateway, kind, era, at)), "calls_per_s")
        return kind, -int(era), group, -rate, gateway

    return sorted(known, key=order)


def _summary(run: Run) -> str:
    concs = sorted({cell.conc for cell in run.cells()})
    middle = 64 if 64 in concs else concs[-1] if concs else 1
    head = [
        "gateway",
        "client",
        "upstream",
        *(f"calls/s at {conc}" for conc in concs),
        "added p50 at 1, ms",
        f"p99 at {middle}, ms",
        f"CPU per call at {middle}, us",
        "memory, MiB",
        "cold start, s",
    ]
    lines = [head, ["---"] * len(head)]
    for gateway, kind, era in paths(run):
        cells = cells_of(run, gateway, kind, era)
        about = run.gateways[gateway]
        first, mid = run.of(cells[1]) if 1 in cells else [], run.of(cells[middle]) if middle in cells else []
        cold = next((secs for kinds, secs in about.cold_s.items() if kind in kinds.split("+")), 0.0)
        own = gateway != DIRECT
        lines.append(
            [
                _name(run, gateway),
                REVISIONS[era],
                _UPSTREAMS[kind],
                *(_number(median(run.of(cells[conc]), "calls_per_s")) if conc in cells else "" for conc in concs),
                _number(_added(run, first, era)) if own and first else "",
                _number(median(mid, "p99_ms")),
                _number(median(mid, "cpu_us")) if own else "",
                _number(about.memory_mib.get(kind, 0.0)) if own else "",
                _number(cold) if own else "",
            ]
        )
    return _markdown(lines)


def _details(run: Run) -> str:
    head = "gateway|client|upstream|in flight|calls/s|p50 ms|p95 ms|p99 ms|added p50 ms|CPU us|upstream CPU us|wrong"
    lines = [head.split("|"), ["---"] * 12]
    for gateway, kind, era in paths(run):
        for conc, cell in sorted(cells_of(run, gateway, kind, era).items()):
            taken = run.of(cell)
            values = [_number(median(taken, field)) for field in ("calls_per_s", "p50_ms", "p95_ms", "p99_ms")]
            added = _number(_added(run, taken, era)) if gateway != DIRECT else ""
            cpu = _number(median(taken, "cpu_us")) if gateway != DIRECT else ""
            wrongs = str(sum(sample.errors for sample in taken))
            upstream = _number(median(taken, "upstream_us"))
            lines.append([gateway, REVISIONS[era], _UPSTREAMS[kind], str(conc), *values, added, cpu, upstream, wrongs])
    return _markdown(lines)


def _added(run: Run, taken: list, era: str) -> float:  # type: ignore[type-arg]
    """Milliseconds of p50 beyond the direct path over HTTP with as many in flight; 0 where nothing was answered."""
    conc = taken[0].cell.conc
    if not median(taken, "calls_per_s"):
        return 0.0
    return median(taken, "p50_ms") - median(run.of(Cell(DIRECT, "http", era, conc)), "p50_ms")


def ratio(run: Run, kind: str, era: str, conc: int = 64) -> tuple[float, str] | None:
    """Calls/s of Callboard over those of the fastest other full gateway, and its name."""
    ours = median(run.of(Cell(CALLBOARD, kind, era, conc)), "calls_per_s")
    others = {
        name: median(run.of(Cell(name, kind, era, conc)), "calls_per_s")
        for name, about in run.gateways.items()
        if about.full and name != CALLBOARD
    }
    fastest = max(others, key=lambda name: others[name], default="")
    return (ours / others[fastest], fastest) if ours and fastest and others[fastest] else None


def _ratios(run: Run) -> list[str]:
    found = []
    for kind, name in _UPSTREAMS.items():
        for era, revision in REVISIONS.items():
            if (one := ratio(run, kind, era)) is not None:
                found.append(
                    f"{revision} over {name} at 64 in flight: Callboard makes {one[0]:.1f} times the calls/s of "
                    f"{one[1]}, the fastest other full gateway."
                )
    return found


def _missing(run: Run) -> str:
    lines = []
    for about in run.gateways.values():
        for what, why in about.not_measured.items():
            lines.append(f"- {about.name}, {REVISIONS.get(what, what)}: {why.replace('`', chr(39))}")
    return "\n".join(lines)


def _trust(run: Run) -> str:
    configured = {name: about.about for name, about in run.gateways.items() if name != DIRECT}
    lines = [f"- {_name(run, name)}: {about}." for name, about in configured.items()]
    direct = [cell for cell in run.cells() if cell.gateway == DIRECT]
    lines += [
        f"- The direct path, {REVISIONS[cell.era]} at {cell.conc}: calls/s lie {spread(run.of(cell)):.0%} apart over "
        f"{len(run.of(cell))} rounds; the load generator costs {median(run.of(cell), 'load_us'):.0f} us of CPU per "
        f"call, the upstream {median(run.of(cell), 'upstream_us'):.0f} us."
        for cell in direct
    ]
    idle = {name: about.idle_cores for name, about in run.gateways.items() if about.idle_cores >= 0.005}
    resting = ", ".join(f"{name} {cores:.3f}" for name, cores in idle.items())
    lines.append(f"- All ran all the time; what they used of a core with nothing to do: {resting or 'nothing'}.")
    noisy = sum(sample.noisy for sample in run.samples)
    lines.append(f"- {noisy} of {len(run.samples)} samples were taken while others used the machine.")
    once = sorted({cell.gateway for cell in run.cells() if len(run.of(cell)) == 1})
    if once and run.options.get("rounds") != "1":
        lines.append(f"- Taken once where the queue is longer than a second: {', '.join(once)}.")
    return "\n".join([*lines, *(f"- {note}" for note in run.notes)])


def _name(run: Run, gateway: str) -> str:
    version = run.gateways[gateway].version
    bold = f"**{gateway}**" if gateway == CALLBOARD else gateway
    return f"{bold} {version}" if version else bold


def _number(value: float) -> str:
    """Three digits are enough."""
    if not value:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(argv: Sequence[str]) -> None:
    """The table of a JSON file."""
    file = Path(argv[0] if argv else ".bench/results.json")
    run = Store(file).load()
    if run is None:
        sys.exit(f"{file} cannot be read")
    text = report(run)
    (file.parent / "table.md").write_text(text)
    (file.parent / "plot.svg").write_text(plot(run))
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
