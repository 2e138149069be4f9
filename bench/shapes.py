"""`make bench BENCH_ARGS=--shapes`: other traffic than a small echo, through Callboard and, where it can be, direct.

Every organisation below is on the same Callboard, so that a small playbook is measured beside large ones; a thousand
organisations, and two of each service, have a Callboard of their own, which is stopped unless it is its turn. The file
is shapes.json; a run that was stopped sets everything up again and goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.documents import SHAPES, put
from bench.field import say
from bench.measure import ECHO, Length, Noise, Shape, sample
from bench.pausing import Turns
from bench.peers.peer import Endpoint
from bench.samples import Cell, Gateway, Run, Sample, Store, machine, median, revision
from bench.scenes import CALLBOARD, CROWDED, DIRECT, ORGANISATIONS, TWICE, Scene, idle_streams
from bench.targets import Goal, markdown

ROOT = Path(__file__).resolve().parents[1]
_IDLE = 1000
_FLAT = Goal("", 1.10, unit=" times", digits=2)
_PREPARED = Goal("`tools/list` of 1,000 tools, CPU", 1000, unit=" us")


@dataclass(frozen=True)
class Traffic:
    """One line: what is sent, to which organisation's playbook, with how many in flight; `direct` as well or not.

    Meanwhile there are `idle` open streams, or one version after the other is published. `flat`: it must cost as much
    as the first line, and its samples are three times as long, as are those of the first line.
    """

    name: str
    organisation: str
    conc: int
    shape: Shape = ECHO
    era: str = "2026"
    direct: bool = True
    idle: int = 0
    publishing: bool = False
    flat: bool = False
    where: str = CALLBOARD

    @property
    def cell(self) -> Cell:
        """Where its samples are kept."""
        return Cell(self.where, self.name, self.era, self.conc)

    @property
    def longer(self) -> int:
        """How many times the usual seconds."""
        return 3 if self.flat or self == PLAIN else 1


PLAIN = Traffic("echo", "plain", 64)


def _listing(count: int) -> Traffic:
    page = min(count, 1000)
    shape = Shape(method="tools/list", expect=f"tools:{page}")
    return Traffic(f"tools/list of {count:,}, a page of {page:,}", f"tools{count}", 16, shape, direct=False)


def _flat(name: str, organisation: str, where: str = CALLBOARD) -> Traffic:
    return Traffic(name, organisation, 64, direct=False, flat=True, where=where)


TRAFFIC: tuple[Traffic, ...] = (
    PLAIN,
    _flat("echo among 10 tools", "tools10"),
    _flat("echo among 1,000 tools", "tools1000"),
    _flat("echo among 10,000 tools", "tools10000"),
    _flat("echo, 1,000 playbooks", "playbooks1000"),
    _flat(f"echo, {ORGANISATIONS:,} organisations", "plain", CROWDED),
    _flat("echo, two of each service", "plain", TWICE),
    _listing(10),
    _listing(1000),
    _listing(10000),
    Traffic("result of 100 KB", "plain", 16, Shape(tool="big", arguments='{"bytes":100000}', expect="size:100000")),
    Traffic("result of 5 MB", "plain", 4, Shape(tool="big", arguments='{"bytes":5000000}', expect="size:5000000")),
    Traffic("50 progress notifications", "plain", 16, Shape("tools/call", "progress", '{"steps":50}', "events:50")),
    Traffic("upstream takes 100 ms", "plain", 1000, Shape(tool="slow", arguments='{"seconds":0.1}')),
    Traffic("a session, one call, 2025-11-25", "plain", 16, Shape(per_session=1), "2025"),
    Traffic("echo in 1,000 sessions, 2025-11-25", "plain", 1000, era="2025"),
    Traffic(f"echo beside {_IDLE:,} idle streams", "plain", 64, direct=False, idle=_IDLE),
    Traffic("echo while versions are published", "plain", 64, direct=False, publishing=True),
)


class Lines:
    """Takes the samples of every line, round by round."""

    def __init__(self, run: Run, scene: Scene, options: argparse.Namespace, store: Store) -> None:
        self._run = run
        self._scene = scene
        self._options = options
        self._store = store
        self._noise = Noise(options.tries)
        self._taken = 0
        self._began = time.monotonic()

    async def take(self, lines: Sequence[Traffic]) -> None:
        """Everything that the run does not have yet."""
        planned = [(number, one) for number in range(self._options.rounds) for one in lines]
        for at, (number, one) in enumerate(planned):
            if len(self._run.of(one.cell)) <= number:
                self._print(await self._through(one, number), len(planned) - at - 1)
            if one.direct and len(self._run.of(_direct(one))) <= number:
                self._scene.alone()
                endpoint = Endpoint(self._scene.upstream_of(one.organisation).url, 0)
                await self._one(_direct(one), one, endpoint, number)

    async def _through(self, one: Traffic, number: int) -> Sample:
        endpoint = await self._scene.turn(one.where, one.organisation, one.era)
        async with contextlib.AsyncExitStack() as stack:
            if one.idle:
                mib = await stack.enter_async_context(idle_streams(endpoint, one.idle))
                self._run.notes = [f"{one.idle:,} idle streams hold {mib:.0f} MiB (PSS)."]
            if one.publishing:
                await stack.enter_async_context(self._scene.publishing(one.where, one.organisation))
            return await self._one(one.cell, one, endpoint, number)

    async def _one(self, cell: Cell, one: Traffic, endpoint: Endpoint, number: int) -> Sample:
        upstream = self._scene.upstream_of(one.organisation).pid
        known = median(self._run.of(cell), "calls_per_s")
        length = Length.for_rate(cell.conc, known, self._options.secs * one.longer)
        noise = Noise(1) if one.publishing else self._noise  # who publishes is a disturbance that is meant
        taken = await sample(cell, endpoint, upstream, length, noise, one.shape)
        taken.round, taken.stopped = number, self._scene.stopped
        self._run.samples.append(taken)
        self._store.save(self._run)
        return taken

    def _print(self, taken: Sample, left: int) -> None:
        self._taken += 1
        each = (time.monotonic() - self._began) / self._taken
        noise = f"  (others used {taken.foreign:.2f} cores)" if taken.noisy else ""
        wrongs = f"  {taken.errors} WRONG: {taken.wrong[:1]}" if taken.errors else ""
        say(
            f"{left:>4} left, {left * each / 60:>4.1f} min | {taken.cell.kind:<38} {taken.calls_per_s:>8,.0f}/s  "
            f"p50 {taken.p50_ms:>8.2f} ms  CPU {taken.cpu_us:>7,.0f} us{noise}{wrongs}"
        )


def _direct(one: Traffic) -> Cell:
    return Cell(DIRECT, one.name, one.era, one.conc)


def flatness(run: Run, one: Traffic, plain: Traffic = PLAIN) -> float | None:
    """CPU per call over that of the plain line in the same round, the middle of the rounds; None without both."""
    plains = {sample.round: sample.cpu_us for sample in run.of(plain.cell) if sample.cpu_us}
    ratios = [taken.cpu_us / plains[taken.round] for taken in run.of(one.cell) if taken.round in plains]
    return statistics.median(ratios) if ratios else None


def goals(run: Run) -> str:
    """Markdown: what has to be flat, and what is served from prepared bytes, with the bound beside it."""
    lines = [["Callboard", "target", "seen"], ["---"] * 3]
    lines += [
        [f"{one.name}: CPU per call over that of the plain echo", _FLAT.wanted(), _FLAT.seen(found)]
        for one in TRAFFIC
        if one.flat and (found := flatness(run, one)) is not None
    ]
    if listed := median(run.of(_listing(1000).cell), "cpu_us"):
        lines.append([_PREPARED.text, _PREPARED.wanted(), _PREPARED.seen(listed)])
    return markdown(lines) if lines[2:] else ""


def table(run: Run, traffic: Sequence[Traffic] = TRAFFIC) -> str:
    """Markdown."""
    head = ["traffic", "in flight", "calls/s", "p50 ms", "p99 ms", "CPU us per call", "direct p50 ms", "wrong"]
    lines = [head, ["---"] * len(head)]
    for one in traffic:
        taken = run.of(one.cell)
        direct = median(run.of(_direct(one)), "p50_ms")
        if not taken:
            continue
        rate, p50, p99, cpu = (median(taken, field) for field in ("calls_per_s", "p50_ms", "p99_ms", "cpu_us"))
        wrongs = str(sum(sample.errors for sample in taken))
        figures = (f"{one.conc:,}", f"{rate:,.0f}", f"{p50:,.2f}", f"{p99:,.2f}", f"{cpu:,.0f}")
        lines.append([one.name, *figures, f"{direct:,.2f}" if direct else "", wrongs])
    return markdown(lines)


def report(run: Run) -> str:
    """The whole of shapes.md."""
    options = " ".join(f"--{name} {value}" for name, value in run.options.items() if value)
    noisy = sum(sample.noisy for sample in run.samples)
    where = (
        f'`make bench BENCH_ARGS="--shapes {options}"` at {run.revision or "an unknown revision"}, begun '
        f"{run.started}, {run.minutes:.0f} minutes, on {run.machine}. Medians over the rounds, ratios by round; "
        f"{noisy} of {len(run.samples)} samples were taken while others used the machine."
        + ("" if run.finished else " **The run is not finished.**")
    )
    parts = ["## Other traffic, through Callboard alone", where, goals(run), table(run), *run.notes]
    return "\n\n".join(part for part in parts if part) + "\n"


def wanted(only: str) -> list[Traffic]:
    """The lines whose name contains one of the words, and the plain one where one is compared with it."""
    words = [word.lower() for word in only.split(",") if word]
    found = [one for one in TRAFFIC if not words or any(word in one.name.lower() for word in words)]
    return [PLAIN, *found] if any(one.flat for one in found) and PLAIN not in found else found


async def measure(options: argparse.Namespace) -> Run:
    """All lines, all rounds."""
    began, store = time.monotonic(), Store(Path(options.out) / "shapes.json")
    shown = {name: str(getattr(options, name)) for name in ("secs", "rounds", "only", "organisations")}
    fresh = Run(machine(), revision(ROOT), shown, datetime.now(UTC).isoformat(timespec="seconds"))
    run = fresh if options.fresh else store.resumed(fresh)
    run.gateways = {name: Gateway(name, "") for name in (CALLBOARD, CROWDED, TWICE, DIRECT)}
    lines = wanted(options.only)
    try:
        with tempfile.TemporaryDirectory(prefix="cb-bench-") as name:
            async with contextlib.AsyncExitStack() as stack:
                turns = stack.enter_context(Turns())
                scene = Scene(Path(name), stack, turns, options.organisations)
                await scene.set_up((one.where, one.organisation) for one in lines)
                await Lines(run, scene, options, store).take(lines)
        run.finished = True
    finally:
        run.minutes = round(run.minutes + (time.monotonic() - began) / 60, 1)
        if run.samples:
            store.save(run)
    return run


def main(options: argparse.Namespace, results: Path | None) -> None:
    """Print the table and write it, into the published results as well; exit code 1 when an answer was wrong."""
    run = asyncio.run(measure(options))
    text = report(run)
    (Path(options.out) / "shapes.md").write_text(text)
    if results is not None:
        put(results, SHAPES, text)
    print(text)
    sys.exit(1 if any(taken.errors for taken in run.samples) else 0)
