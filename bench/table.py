"""The Markdown table of a run; again from its JSON with `python -m bench.table [.bench/results.json]`.

It prints the table, and writes table.md and plot.svg beside the JSON. With `--readme` it writes what the README shows
of it into README.md instead.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bench import half_load, targets
from bench.documents import README, SPEED, put
from bench.plot import plot
from bench.samples import Cell, Run, Sample, Store, median, spread
from bench.targets import CALLBOARD, CONC, DIRECT, HALF_LOAD, added, markdown, ratio

REVISIONS = {"2026": "2026-07-28", "2025": "2025-11-25"}
_UPSTREAMS = {"http": "HTTP", "stdio": "stdio"}


def report(run: Run) -> str:
    """The whole of table.md."""
    goals = targets.table(run)
    parts = [
        "## `tools/call` through MCP gateways",
        _where(run),
        *(["### Targets", goals] if goals else []),
        "### All gateways",
        _summary(run),
        *_ratios(run),
        *_half_load(run),
        "### By calls in flight",
        _details(run),
        "### Not measured",
        _missing(run),
        "### How each was started",
        _started(run),
        "### How much to trust it",
        _trust(run),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _where(run: Run) -> str:
    options = " ".join(f"--{name} {value}" for name, value in run.options.items() if value)
    return (
        f'`make bench BENCH_ARGS="{options}"` at {run.revision or "an unknown revision"}, begun {run.started}, '
        f"{run.minutes:.0f} minutes, on {run.machine}, which load generator and upstream share. An echo tool, 32 bytes "
        "of text, every answer checked (status, id, text); medians over the rounds. While one gateway was measured, "
        "the processes of the others were stopped. CPU is user and system time of all processes of a gateway, without "
        "upstream and load generator; memory is PSS of all of them, at rest and after the load; a start is timed to "
        "the first right answer, cold with an empty folder, warm with what the first start has made."
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
        "memory at rest, after, MiB",
        "cold start, warm, s",
    ]
    lines = [head, ["---"] * len(head)]
    for gateway, kind, era in paths(run):
        cells = cells_of(run, gateway, kind, era)
        about = run.gateways[gateway]
        first, mid = run.of(cells[1]) if 1 in cells else [], run.of(cells[middle]) if middle in cells else []
        starts = (about.cold_s.get(kind, 0.0), about.warm_s.get(kind, 0.0))
        memory = (about.rest_mib.get(kind, 0.0), about.memory_mib.get(kind, 0.0))
        own = gateway != DIRECT
        lines.append(
            [
                _name(run, gateway),
                REVISIONS[era],
                _UPSTREAMS[kind],
                *(_number(median(run.of(cells[conc]), "calls_per_s")) if conc in cells else "" for conc in concs),
                _number(added(run, first[0].cell) or 0.0) if own and first else "",
                _number(median(mid, "p99_ms")),
                _number(median(mid, "cpu_us")) if own else "",
                ", ".join(filter(None, map(_number, memory))),
                ", ".join(filter(None, map(_number, starts))) if own else "",
            ]
        )
    return markdown(lines)


def _details(run: Run) -> str:
    head = "gateway|client|upstream|in flight|calls/s|p50 ms|p95 ms|p99 ms|added p50 ms|CPU us|upstream CPU us|wrong"
    lines = [head.split("|"), ["---"] * 12]
    for gateway, kind, era in paths(run):
        for conc, cell in sorted(cells_of(run, gateway, kind, era).items()):
            taken = run.of(cell)
            values = [_number(median(taken, field)) for field in ("calls_per_s", "p50_ms", "p95_ms", "p99_ms")]
            beyond = _number(added(run, cell) or 0.0) if gateway != DIRECT else ""
            cpu = _number(median(taken, "cpu_us")) if gateway != DIRECT else ""
            wrongs = str(sum(sample.errors for sample in taken))
            upstream = _number(median(taken, "upstream_us"))
            lines.append([gateway, REVISIONS[era], _UPSTREAMS[kind], str(conc), *values, beyond, cpu, upstream, wrongs])
    return markdown(lines)


def _half_load(run: Run) -> list[str]:
    """Every gateway, and the direct path at the rate of Callboard."""
    measured = set(run.cells(half=True))
    head = "gateway|client|upstream|calls/s due|calls/s|p50 ms|p95 ms|p99 ms|p99 over p50|of calls|CPU us|wrong"
    rows = [head.split("|"), ["---"] * 12]
    for gateway, kind, era in paths(run):
        cell = Cell(gateway, kind, era, CONC, half=True)
        if cell in measured:
            rows.append([_name(run, gateway), REVISIONS[era], _UPSTREAMS[kind], *_steadiness(run.of(cell))])
    missing = ", ".join(
        f"{cell.gateway} ({REVISIONS[cell.era]}, {_UPSTREAMS[cell.kind]})" for cell in half_load.left_out(run)
    )
    text = (
        f"{HALF_LOAD} The direct path has as many calls due as Callboard over HTTP: what it shows is this machine "
        "with the load generator and the upstream on it. These two were measured in every round, the others once; "
        '"of calls" is how many a p99 rests on.'
        + (f" Left out, because half load is too few calls for a p99: {missing}." if missing else "")
    )
    return ["### At half load", text, markdown(rows)] if measured else []


def _steadiness(taken: Sequence[Sample]) -> list[str]:
    due, rate, p50, p95, p99, cpu = (
        median(taken, field) for field in ("due", "calls_per_s", "p50_ms", "p95_ms", "p99_ms", "cpu_us")
    )
    figures = map(_number, (due, rate, p50, p95, p99, p99 / p50 if p50 else 0.0))
    own = taken[0].cell.gateway != DIRECT
    calls = f"{median(taken, 'calls'):,.0f}" + (f", {len(taken)} times" if taken[1:] else "")
    return [*figures, calls, _number(cpu) if own else "", str(sum(sample.errors for sample in taken))]


def _ratios(run: Run, kinds: Sequence[str] = tuple(_UPSTREAMS)) -> list[str]:
    found = []
    for kind in kinds:
        name = _UPSTREAMS[kind]
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
            named = " ".join(REVISIONS.get(word, word) for word in what.split())
            lines.append(f"- {about.name}, {named}: {why.replace('`', chr(39))}")
    return "\n".join(lines)


def _trust(run: Run) -> str:
    lines = []
    direct = [cell for cell in run.cells() if cell.gateway == DIRECT]
    lines += [
        f"- The direct path, {REVISIONS[cell.era]} at {cell.conc}: calls/s lie {spread(run.of(cell)):.0%} apart over "
        f"{len(run.of(cell))} rounds; the load generator costs {median(run.of(cell), 'load_us'):.0f} us of CPU per "
        f"call, the upstream {median(run.of(cell), 'upstream_us'):.0f} us."
        for cell in direct
    ]
    stopped = max((sample.stopped for sample in run.samples), default=0)
    lines.append(
        f"- Up to {stopped} processes of other gateways were stopped (SIGSTOP) while one was measured; before its turn "
        "each went on, gave a right answer and had a warm-up."
    )
    resting = ", ".join(
        f"{name} over {_UPSTREAMS[kind]} {cores:.3f}"
        for name, about in run.gateways.items()
        for kind, cores in about.idle_cores.items()
        if cores >= 0.005
    )
    lines.append(f"- Cores that each used with nothing to do, the others stopped: {resting or 'none'}.")
    noisy = sum(sample.noisy for sample in run.samples)
    lines.append(f"- {noisy} of {len(run.samples)} samples were taken while others used the machine.")
    once = sorted({cell.gateway for cell in run.cells() if len(run.of(cell)) == 1})
    if once and run.options.get("rounds") != "1":
        lines.append(f"- Taken once where the queue is longer than a second: {', '.join(once)}.")
    return "\n".join([*lines, *(f"- {note}" for note in run.notes)])


def _started(run: Run) -> str:
    """What each is and is not, and its command line, secrets left out."""
    lines = [
        "`$PACKAGE` is the environment that the peer is installed into, `$FOLDER` an empty folder, `$UPSTREAM` the URL "
        "of the echo server; ports differ each time.",
        "",
    ]
    for name, about in run.gateways.items():
        if name != DIRECT:
            lines.append(f"- {_name(run, name)}: {about.about}.")
            commands = dict.fromkeys(command for command in about.commands.values() if command)
            lines += [f"  `{command.replace('`', chr(39))}`" for command in commands]
    return "\n".join(lines)


def _name(run: Run, gateway: str, known: Sequence[str] = ()) -> str:
    version = run.gateways[known[0] if known else gateway].version
    bold = f"**{gateway}**" if gateway == CALLBOARD else gateway
    return f"{bold} {version}" if version else bold


def _number(value: float) -> str:
    """Three digits are enough."""
    if not value:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def readme(run: Run) -> str:
    """What the README shows: products over HTTP at 64 in flight, each as it was fastest, and how they compare."""
    rows = [["gateway", *(f"{revision} calls/s | CPU per call" for revision in REVISIONS.values())], ["---"] * 5]
    products: dict[str, list[str]] = {}
    for name in dict.fromkeys(gateway for gateway, kind, _ in paths(run) if kind == "http"):
        if run.gateways[name].full or name == DIRECT:
            products.setdefault(name.partition(",")[0], []).append(name)
    for product, names in products.items():
        ways = f" (the fastest of {len(names)} ways to run it)" if names[1:] else ""
        row = ["none (the echo upstream itself)" if product == DIRECT else f"{_name(run, product, names)}{ways}"]
        for era in REVISIONS:
            tried = [run.of(Cell(name, "http", era, 64)) for name in names]
            best = max(tried, key=lambda taken: median(taken, "calls_per_s"))
            rate, cpu = median(best, "calls_per_s"), median(best, "cpu_us") if product != DIRECT else 0.0
            row += [f"{rate:,.0f}" if rate else "-", f"{cpu:,.0f} us" if cpu else "-"]
        rows.append(row)
    where = (
        f"`tools/call`, HTTP upstream, 64 in flight, {run.options.get('rounds', '?')} rounds, {run.started[:10]} at "
        f"{run.revision or 'an unknown revision'}, on {run.machine}, which load generator and upstream share; CPU is "
        "that of all processes."
    )
    return "\n\n".join([" ".join([where, *_ratios(run, ("http",))]), markdown(rows)])


def main(argv: Sequence[str]) -> None:
    """The table of a JSON file."""
    words = [word for word in argv if word != "--readme"]
    file = Path(words[0] if words else ".bench/results.json")
    run = Store(file).load()
    if run is None:
        sys.exit(f"{file} cannot be read")
    if "--readme" in argv:
        put(README, SPEED, readme(run))
        return
    text = report(run)
    (file.parent / "table.md").write_text(text)
    (file.parent / "plot.svg").write_text(plot(run))
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
