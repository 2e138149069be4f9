"""`make bench`: tools/call through Callboard, through its peers and without any, interleaved in one run.

    python -m bench [--secs 1] [--rounds 3] [--conc 1,16,64,256] [--era 2026,2025] [--kind http,stdio]
                    [--only WORD,...] [--tries 2] [--quick] [--shapes] [--out DIR] [--results FILE] [--fresh]

Ctrl-C stops it; the same command goes on where it stopped. DIR (.bench) gets results.json, table.md and plot.svg; a
whole run (no options but --tries, --out and --fresh) puts table and plot into RESULTS.md as well, any run with
--results into that FILE. NOTES.md says how everything is measured, and how each peer is configured.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import half_load, shapes
from bench.documents import GATEWAYS, RESULTS, put
from bench.field import Field, say
from bench.measure import ECHO, Length, Noise, Shape, sample
from bench.pausing import Turns
from bench.peers.callboard import CALLBOARD
from bench.peers.known import DIRECT, chosen
from bench.peers.launch import stop_like_ctrl_c
from bench.peers.peer import ERAS, KINDS, Peer
from bench.plot import plot
from bench.samples import Cell, Run, Sample, Store, machine, revision, spread
from bench.scenes import ORGANISATIONS
from bench.table import report
from bench.upstream import echo_upstream

ROOT = Path(__file__).resolve().parents[1]
_TOO_LONG_SECONDS = 1.0
_UNSTEADY = 0.35
_REST_SECONDS = 1.5


class Rounds:
    """All samples of a run, round by round, so that what drifts in the machine drifts for everybody."""

    def __init__(self, field: Field, peers: Sequence[Peer], options: argparse.Namespace, store: Store) -> None:
        self._field = field
        self._peers = peers
        self._options = options
        self._store = store
        self._noise = Noise(options.tries)
        self._taken = 0
        self._began = time.monotonic()

    def cells(self) -> list[Cell]:
        """One round, gateways innermost; at last each at half of the load that it carries."""
        concs = list(map(int, _words(self._options.conc)))
        full = [
            Cell(peer.name, kind, era, conc)
            for kind in _words(self._options.kind)
            for conc in concs
            for era in _words(self._options.era)
            for peer in self._peers
            if self._field.able(peer, kind, era)
        ]
        return full + half_load.cells(full)

    async def take(self, upstream: int) -> None:
        """Everything that the run does not have yet; then again what varies too much."""
        cells, rounds = self.cells(), self._options.rounds
        planned = [(number, cell) for number in range(rounds) for cell in cells]
        for at, (number, cell) in enumerate(planned):
            if self._is_due(cell, number):
                await self._one(cell, number, upstream, self._left(planned[at:]))
        again = [] if self._noise.hopeless or rounds < 2 else self._unsteady(cells)
        for at, cell in enumerate(again):
            await self._one(cell, rounds, upstream, len(again) - at)
        note = "Other processes used the machine all the time; noisy samples were not repeated."
        if self._noise.hopeless and note not in self._run.notes:
            self._run.notes.append(note)

    @property
    def _run(self) -> Run:
        return self._field.run

    def _is_due(self, cell: Cell, number: int, unknown: bool = False) -> bool:
        """Not if the sample is there, the gateway does not answer any more, or once was enough.

        `unknown` is what is said of a half load whose full load was not measured yet.
        """
        if not self._field.answers(cell.gateway, cell.kind, cell.era) or len(self._run.of(cell)) > number:
            return False
        if cell.half:
            return half_load.is_due(self._run, cell, number, unknown)
        return not (number and self._takes_long(cell))

    def _left(self, planned: Sequence[tuple[int, Cell]]) -> int:
        """How many of these are still to be taken."""
        return sum(self._is_due(cell, number, unknown=True) for number, cell in planned)

    def _rate(self, cell: Cell) -> float:
        known = [sample for sample in self._run.samples if _same_path(sample.cell, cell) and sample.calls_per_s]
        return known[-1].calls_per_s if known else 0.0

    def _takes_long(self, cell: Cell) -> bool:
        rate = self._rate(cell)
        return bool(rate) and cell.conc / rate > _TOO_LONG_SECONDS and bool(self._run.of(cell))

    def _unsteady(self, cells: Sequence[Cell]) -> list[Cell]:
        found = [cell for cell in cells if len(self._run.of(cell)) == self._options.rounds and not cell.half]
        worst = sorted(found, key=lambda cell: spread(self._run.of(cell)), reverse=True)[: len(cells) // 8]
        return [cell for cell in worst if spread(self._run.of(cell)) > _UNSTEADY]

    async def _one(self, cell: Cell, number: int, upstream: int, left: int) -> None:
        endpoint = self._field.endpoints[cell.gateway, cell.kind]
        if not await self._field.turn(cell.gateway, cell.kind, cell.era):
            return
        idle = self._run.gateways[cell.gateway].idle_cores.get(cell.kind, 0.0)
        shape, length = self._load(cell)
        taken = await sample(cell, endpoint, upstream, length, self._noise, shape, idle)
        if not taken.calls and not taken.errors:  # slower than anybody thought
            taken = await sample(cell, endpoint, upstream, Length.longest(), self._noise, shape, idle)
        taken.round, taken.stopped, taken.due = number, self._field.turns.stopped, shape.rate
        self._run.samples.append(taken)
        self._store.save(self._run)
        self._taken += 1
        say(_line(taken, left - 1, (time.monotonic() - self._began) / self._taken))

    def _load(self, cell: Cell) -> tuple[Shape, Length]:
        secs = self._options.secs
        if cell.half:
            return Shape(rate=half_load.rate(self._run, cell) or 1.0), half_load.length(self._run, cell, secs)
        return ECHO, Length.for_rate(cell.conc, self._rate(cell), secs)


def _same_path(one: Cell, other: Cell) -> bool:
    """At full load, with as many in flight as the other or less."""
    same = (one.gateway, one.kind, one.era) == (other.gateway, other.kind, other.era)
    return same and not one.half and one.conc <= other.conc


def _line(taken: Sample, left: int, each: float) -> str:
    cell = taken.cell
    noise = f"  (others used {taken.foreign:.2f} cores)" if taken.noisy else ""
    wrongs = f"  {taken.errors} WRONG: {taken.wrong[:1]}" if taken.errors else ""
    load = "at half load" if cell.half else "in flight"
    return (
        f"{left:>4} left, {left * each / 60:>4.1f} min | {cell.kind:<5} {cell.era} {cell.conc:>4} {load:<12} "
        f"{cell.gateway:<29} {taken.calls_per_s:>9,.0f}/s  p50 {taken.p50_ms:>8.2f} ms  CPU {taken.cpu_us:>7,.0f} us"
        f"{noise}{wrongs}"
    )


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


async def bench(options: argparse.Namespace) -> Run:
    """Start everything, measure, stop everything."""
    began = time.monotonic()
    store = Store(Path(options.out) / "results.json")
    shown = {name: str(getattr(options, name)) for name in ("secs", "rounds", "conc", "era", "kind", "only")}
    fresh = Run(machine(), revision(ROOT), shown, datetime.now(UTC).isoformat(timespec="seconds"))
    run = fresh if options.fresh else store.resumed(fresh)
    if run.samples:
        say(f"going on with the run of {run.started}: {len(run.samples)} samples are there (--fresh begins anew)")
    peers = chosen(_words(options.only))
    try:
        await _measured(run, peers, options, store)
        run.finished = True
    finally:
        run.minutes = round(run.minutes + (time.monotonic() - began) / 60, 1)
        if run.samples:
            store.save(run)
    return run


async def _measured(run: Run, peers: Sequence[Peer], options: argparse.Namespace, store: Store) -> None:
    with tempfile.TemporaryDirectory(prefix="cb-bench-") as name:
        async with contextlib.AsyncExitStack() as stack:
            turns = stack.enter_context(Turns())
            upstream = await stack.enter_async_context(echo_upstream(Path(name)))
            field = Field(run, Path(name), upstream, _words(options.era), _words(options.kind), turns)
            for peer in peers:
                await field.enter(peer, stack)
            say("looking at each at rest")
            await field.rest(_REST_SECONDS)
            await Rounds(field, peers, options, store).take(upstream.pid)
            field.remember_memory()


def write(run: Run, folder: Path, results: Path | None = None) -> str:
    """table.md and plot.svg beside the results, and both into the published ones; returns the table."""
    text = report(run)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text(text)
    (folder / "plot.svg").write_text(plot(run))
    if results is not None:
        put(results, GATEWAYS, text)
        results.with_name("plot.svg").write_text(plot(run))
    return text


def published(options: argparse.Namespace) -> Path | None:
    """Where the results go besides `--out`: a part of a run is not published unless one says where."""
    if options.results:
        return Path(options.results)
    usual = arguments([])
    names = ("secs", "rounds", "conc", "era", "kind", "only", "organisations")
    return RESULTS if all(getattr(options, name) == getattr(usual, name) for name in names) else None


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """What was typed behind the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--secs", type=float, default=1.0, help="seconds of a sample (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--conc", default="1,16,64,256", help="calls in flight")
    parser.add_argument("--era", default=",".join(ERAS))
    parser.add_argument("--kind", default=",".join(KINDS), help="kinds of upstream")
    parser.add_argument("--only", default="", help="peers whose name contains one of these words, and direct")
    parser.add_argument("--tries", type=int, default=2, help="how often a noisy sample is taken at most")
    parser.add_argument("--quick", action="store_true", help="one round of one second at 1 and 64")
    parser.add_argument("--shapes", action="store_true", help="other shapes of traffic through Callboard instead")
    parser.add_argument("--organisations", type=int, default=ORGANISATIONS, help="of the crowded Callboard of --shapes")
    parser.add_argument("--out", default=str(ROOT / ".bench"), metavar="DIR")
    parser.add_argument("--results", metavar="FILE", help="put the tables there, and the plot beside it")
    parser.add_argument("--fresh", action="store_true", help="do not go on with an unfinished run")
    options = parser.parse_args(argv)
    if options.quick:
        options.secs, options.rounds, options.conc = 1.0, 1, "1,64"
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table; the exit code is 1 when an answer of Callboard or the upstream was wrong, 130 after Ctrl-C."""
    options = arguments(argv)
    stop_like_ctrl_c()
    try:
        if options.shapes:
            shapes.main(options, published(options))
        run = asyncio.run(bench(options))
    except KeyboardInterrupt:
        say("stopped; the same command goes on from here")
        sys.exit(130)
    results = published(options)
    print(write(run, Path(options.out), results))
    say(f"{options.out}: results.json, table.md, plot.svg{f'; {results}, plot.svg' if results else ''}")
    ours = (DIRECT.name, CALLBOARD.name)
    sys.exit(1 if any(taken.errors for taken in run.samples if taken.cell.gateway in ours) else 0)


if __name__ == "__main__":
    main()
