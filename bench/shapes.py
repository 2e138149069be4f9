"""`make bench BENCH_ARGS=--shapes`: other traffic than a small echo, through Callboard and, where it can be, direct.

Every organisation is on the same Callboard, so that a small playbook is measured beside large ones; a thousand
organisations, and two of each service, have a Callboard of their own, which is stopped unless it is its turn. What is
compared with a plain echo is measured in pairs with it (`bench.traffic`). The file is shapes.json; a run that was
stopped sets everything up again and goes on, with whole pairs.
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
from datetime import UTC, datetime
from pathlib import Path

from bench.documents import SHAPES, put
from bench.field import say
from bench.measure import Length, Noise, sample
from bench.pausing import Turns
from bench.peers.peer import Endpoint
from bench.samples import Cell, Gateway, Run, Sample, Store, machine, median, revision
from bench.scenes import CALLBOARD, CROWDED, DIRECT, TWICE, Scene, idle_streams
from bench.shapes_report import report
from bench.traffic import Step, Traffic, steps, wanted

ROOT = Path(__file__).resolve().parents[1]
_PAIRED_WARMUP, _PAIRED_TIMES_AS_LONG = 0.5, 1.5


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
        due = missing(self._run, lines, self._options.rounds)
        for at, step in enumerate(due):
            self._print(await (self._alone(step) if step.direct else self._through(step)), len(due) - at - 1)

    async def _alone(self, step: Step) -> Sample:
        self._scene.alone()
        return await self._one(step, Endpoint(self._scene.upstream_of(step.one.organisation).url, 0))

    async def _through(self, step: Step) -> Sample:
        one = step.one
        endpoint = await self._scene.turn(one.where, one.organisation, one.era)
        async with contextlib.AsyncExitStack() as stack:
            if one.idle:
                mib = await stack.enter_async_context(idle_streams(endpoint, one.idle))
                self._note(one, f"the streams hold {mib:.0f} MiB (PSS)")
            if not one.publishing:
                return await self._one(step, endpoint)
            took = await stack.enter_async_context(self._scene.publishing(one.where, one.organisation))
            began, taken = time.monotonic(), await self._one(step, endpoint)
            each = f"{1000 * statistics.median(took):.0f} ms each" if took else "none was finished"
            self._note(one, f"{len(took)} versions in {time.monotonic() - began:.1f} s, {each}")
            return taken

    def _note(self, one: Traffic, text: str) -> None:
        """Instead of what was said of this line before."""
        others = [note for note in self._run.notes if not note.startswith(f"- {one.name}: ")]
        self._run.notes = [*others, f"- {one.name}: {text}."]
        self._store.save(self._run)

    async def _one(self, step: Step, endpoint: Endpoint) -> Sample:
        one, secs = step.one, self._options.secs
        upstream = self._scene.upstream_of(one.organisation).pid
        length = Length.for_rate(one.conc, median(self._run.of(step.cell), "calls_per_s"), secs)
        if step.paired:
            length = Length(max(_PAIRED_WARMUP, length.warmup), _PAIRED_TIMES_AS_LONG * secs)
        noise = Noise(1) if one.publishing else self._noise  # who publishes is a disturbance that is meant
        taken = await sample(step.cell, endpoint, upstream, length, noise, one.shape)
        taken.round, taken.stopped = step.number, self._scene.stopped
        self._run.samples.append(taken)
        self._store.save(self._run)
        return taken

    def _print(self, taken: Sample, left: int) -> None:
        self._taken += 1
        each = (time.monotonic() - self._began) / self._taken
        noise = f"  (others used {taken.foreign:.2f} cores)" if taken.noisy else ""
        wrongs = f"  {taken.errors} WRONG: {taken.wrong[:1]}" if taken.errors else ""
        say(
            f"{left:>4} left, {left * each / 60:>4.1f} min | {taken.cell.gateway:<22} {taken.cell.kind:<48} "
            f"{taken.calls_per_s:>8,.0f}/s  p50 {taken.p50_ms:>8.2f} ms  CPU {taken.cpu_us:>7,.0f} us{noise}{wrongs}"
        )


def missing(run: Run, lines: Sequence[Traffic], rounds: int) -> list[Step]:
    """What the run does not have yet; it loses the halves of pairs, so that both are taken, one right after the other.

    A run that was stopped between the two goes on later, on Callboards that were newly started.
    """
    halves: set[tuple[Cell, int]] = set()
    for one in lines:
        if one.compared is not None:
            pair = (one.base.cell, one.cell)
            base, own = ({sample.round for sample in run.of(cell)} for cell in pair)
            halves |= {(cell, number) for cell in pair for number in base ^ own}
    run.samples = [sample for sample in run.samples if (sample.cell, sample.round) not in halves]
    there = {(sample.cell, sample.round) for sample in run.samples}
    return [step for step in steps(lines, rounds) if (step.cell, step.number) not in there]


async def measure(options: argparse.Namespace) -> Run:
    """All lines, all rounds."""
    began, store = time.monotonic(), Store(Path(options.out) / "shapes.json")
    shown = {name: str(getattr(options, name)) for name in ("secs", "rounds", "only", "organisations")}
    fresh = Run(machine(), revision(ROOT), shown, datetime.now(UTC).isoformat(timespec="seconds"))
    run = fresh if options.fresh else store.resumed(fresh)
    run.gateways = {name: Gateway(name, "") for name in (CALLBOARD, CROWDED, TWICE, DIRECT)}
    if run.samples:
        say(f"going on with the run of {run.started}: {len(run.samples)} samples are there (--fresh begins anew)")
    lines = wanted(options.only)
    try:
        with tempfile.TemporaryDirectory(prefix="cb-bench-") as name:
            async with contextlib.AsyncExitStack() as stack:
                turns = stack.enter_context(Turns())
                scene = Scene(Path(name), stack, turns, options.organisations)
                await scene.set_up((step.one.where, step.one.organisation) for step in steps(lines, 1))
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
