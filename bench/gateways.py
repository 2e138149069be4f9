"""`make bench`: tools/call through Callboard, through its peers and without any, interleaved in one run.

    python -m bench [--secs 1] [--rounds 3] [--conc 1,16,64,256] [--era 2026,2025] [--kind http,stdio]
                    [--only WORD,...] [--tries 2] [--quick] [--shapes] [--out DIR] [--fresh]

Ctrl-C stops it; the same command goes on where it stopped. DIR (.bench) gets results.json, table.md and plot.svg.
NOTES.md says how everything is measured, and how each peer is configured.
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

from bench import shapes
from bench.accounting import Meter, memory_by_name
from bench.measure import Length, Noise, sample
from bench.peers.callboard import CALLBOARD
from bench.peers.install import NotInstalled, installed
from bench.peers.known import DIRECT, chosen
from bench.peers.launch import NotStarted, stop_like_ctrl_c, wrong
from bench.peers.peer import ERAS, KINDS, UPSTREAM_PROCESS, Endpoint, Peer, Place, Upstream
from bench.plot import plot
from bench.samples import Cell, Gateway, Run, Sample, Store, machine, revision, spread
from bench.table import report
from bench.upstream import echo_upstream

ROOT = Path(__file__).resolve().parents[1]
_TOO_LONG_SECONDS = 1.0
_UNSTEADY = 0.35


def say(text: str) -> None:
    """Progress, for whoever watches."""
    print(text, file=sys.stderr, flush=True)


class Field:
    """The gateways that are running, and what is written about them."""

    def __init__(self, run: Run, folder: Path, upstream: Upstream, eras: Sequence[str], kinds: Sequence[str]) -> None:
        self.run = run
        self.endpoints: dict[tuple[str, str], Endpoint] = {}
        self._folder = folder
        self._upstream = upstream
        self._eras = eras
        self._kinds = kinds

    async def enter(self, peer: Peer, stack: contextlib.AsyncExitStack) -> None:
        """Install and start a peer over every kind of upstream that it knows, and see whether it answers."""
        about = self.run.gateways.setdefault(peer.name, Gateway(peer.name, peer.about, full=peer.full))
        about.not_measured = dict(peer.lacks)
        about.version = peer.package.version if peer.package else ""
        waiting = peer.kinds()
        for kinds in waiting:
            wanted = tuple(kind for kind in kinds if kind in self._kinds)
            if not wanted:
                continue
            say(f"starting {peer.name} ({', '.join(wanted)})")
            try:
                package = await asyncio.to_thread(installed, peer.package) if peer.package else self._folder
                place = Place(Path(tempfile.mkdtemp(dir=self._folder)), self._upstream, package)
                began = time.monotonic()
                endpoints = await stack.enter_async_context(peer.start(place, wanted))
            except (NotInstalled, NotStarted) as problem:
                if len(wanted) > 1:
                    waiting += [(kind,) for kind in wanted]
                else:
                    self._without(about, wanted[0], str(problem))
                continue
            about.cold_s["+".join(wanted)] = round(time.monotonic() - began, 2)
            for kind, endpoint in endpoints.items():
                await self._answers(peer, about, kind, endpoint)

    async def _answers(self, peer: Peer, about: Gateway, kind: str, endpoint: Endpoint) -> None:
        self.endpoints[peer.name, kind] = endpoint
        for era in self._eras:
            if peer.why_not(kind, era) is None and (why := await wrong(endpoint, era)) is not None:
                self._without(about, f"{kind} {era}", why)

    @staticmethod
    def _without(about: Gateway, what: str, why: str) -> None:
        about.not_measured[what] = why
        say(f"  {about.name} is not measured over {what}: {why}")

    def able(self, peer: Peer, kind: str, era: str) -> bool:
        """Whether it runs and answers there."""
        refused = peer.why_not(kind, era) or self.run.gateways[peer.name].not_measured.get(f"{kind} {era}")
        return (peer.name, kind) in self.endpoints and refused is None

    async def rest(self, secs: float = 2.0) -> float:
        """What each uses when nothing is asked of it; the sum, in cores."""
        pids = {(name, endpoint.pid) for (name, _), endpoint in self.endpoints.items() if endpoint.pid}
        meters = [(name, Meter([pid])) for name, pid in pids]
        await asyncio.sleep(secs)
        for about in self.run.gateways.values():
            used = [meter.read() for name, meter in meters if name == about.name]
            about.idle_cores = round(sum(usage.total_s / usage.secs for usage in used), 3)
        return sum(about.idle_cores for about in self.run.gateways.values())

    def remember_memory(self) -> None:
        """What each holds after the load, without the upstream where that is its child."""
        for (name, kind), endpoint in self.endpoints.items():
            if endpoint.pid:
                held = memory_by_name([endpoint.pid])
                mib = sum(share.pss for process, share in held.items() if process != UPSTREAM_PROCESS)
                self.run.gateways[name].memory_mib[kind] = round(mib, 1)


class Rounds:
    """All samples of a run, round by round, so that what drifts in the machine drifts for everybody."""

    def __init__(
        self, field: Field, peers: Sequence[Peer], options: argparse.Namespace, store: Store, idle: float = 0.0
    ) -> None:
        self._field = field
        self._peers = peers
        self._options = options
        self._store = store
        self._noise = Noise(options.tries, idle)
        self._taken = 0
        self._began = time.monotonic()

    def cells(self) -> list[Cell]:
        """One round, gateways innermost."""
        return [
            Cell(peer.name, kind, era, conc)
            for kind in _words(self._options.kind)
            for conc in map(int, _words(self._options.conc))
            for era in _words(self._options.era)
            for peer in self._peers
            if self._field.able(peer, kind, era)
        ]

    async def take(self, upstream: int) -> None:
        """Everything that the run does not have yet; then again what varies too much."""
        cells, rounds = self.cells(), self._options.rounds
        planned = [(number, cell) for number in range(rounds) for cell in cells]
        for at, (number, cell) in enumerate(planned):
            if len(self._run.of(cell)) > number or (number and self._takes_long(cell)):
                continue
            await self._one(cell, number, upstream, len(planned) - at)
        for cell in [] if self._noise.hopeless or rounds < 2 else self._unsteady(cells):
            await self._one(cell, rounds, upstream, 1)
        if self._noise.hopeless:
            note = "Other processes used the machine all the time; noisy samples were not repeated."
            self._run.notes = [note]

    @property
    def _run(self) -> Run:
        return self._field.run

    def _rate(self, cell: Cell) -> float:
        known = [sample for sample in self._run.samples if _same_path(sample.cell, cell) and sample.calls_per_s]
        return known[-1].calls_per_s if known else 0.0

    def _takes_long(self, cell: Cell) -> bool:
        rate = self._rate(cell)
        return bool(rate) and cell.conc / rate > _TOO_LONG_SECONDS and bool(self._run.of(cell))

    def _unsteady(self, cells: Sequence[Cell]) -> list[Cell]:
        found = [cell for cell in cells if len(self._run.of(cell)) == self._options.rounds]
        worst = sorted(found, key=lambda cell: spread(self._run.of(cell)), reverse=True)[: len(cells) // 8]
        return [cell for cell in worst if spread(self._run.of(cell)) > _UNSTEADY]

    async def _one(self, cell: Cell, number: int, upstream: int, left: int) -> None:
        endpoint = self._field.endpoints[cell.gateway, cell.kind]
        length = Length.for_rate(cell.conc, self._rate(cell), self._options.secs)
        taken = await sample(cell, endpoint, upstream, length, self._noise)
        if not taken.calls and not taken.errors:  # slower than anybody thought
            taken = await sample(cell, endpoint, upstream, Length.longest(), self._noise)
        taken.round = number
        self._run.samples.append(taken)
        self._store.save(self._run)
        self._taken += 1
        say(_line(taken, left - 1, (time.monotonic() - self._began) / self._taken))


def _same_path(one: Cell, other: Cell) -> bool:
    return (one.gateway, one.kind, one.era) == (other.gateway, other.kind, other.era) and one.conc <= other.conc


def _line(taken: Sample, left: int, each: float) -> str:
    cell = taken.cell
    noise = f"  (others used {taken.foreign:.2f} cores)" if taken.noisy else ""
    wrongs = f"  {taken.errors} WRONG: {taken.wrong[:1]}" if taken.errors else ""
    return (
        f"{left:>4} left, {left * each / 60:>4.1f} min | {cell.kind:<5} {cell.era} {cell.conc:>4} in flight "
        f"{cell.gateway:<29} {taken.calls_per_s:>9,.0f}/s  p50 {taken.p50_ms:>8.2f} ms  CPU {taken.cpu_us:>7,.0f} us"
        f"{noise}{wrongs}"
    )


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


async def bench(options: argparse.Namespace) -> Run:
    """Start everything, measure, stop everything."""
    store = Store(Path(options.out) / "results.json")
    shown = {name: str(getattr(options, name)) for name in ("secs", "rounds", "conc", "era", "kind", "only")}
    fresh = Run(machine(), revision(ROOT), shown, datetime.now(UTC).isoformat(timespec="seconds"))
    run = fresh if options.fresh else store.resumed(fresh)
    if run.samples:
        say(f"going on with the run of {run.started}: {len(run.samples)} samples are there (--fresh begins anew)")
    peers = chosen(_words(options.only))
    with tempfile.TemporaryDirectory(prefix="cb-bench-") as name:
        async with contextlib.AsyncExitStack() as stack:
            upstream = await stack.enter_async_context(echo_upstream(Path(name)))
            field = Field(run, Path(name), upstream, _words(options.era), _words(options.kind))
            for peer in peers:
                await field.enter(peer, stack)
            await Rounds(field, peers, options, store, await field.rest()).take(upstream.pid)
            field.remember_memory()
    run.finished = True
    store.save(run)
    return run


def write(run: Run, folder: Path) -> str:
    """table.md and plot.svg beside the results; returns the table."""
    text = report(run)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text(text)
    (folder / "plot.svg").write_text(plot(run))
    return text


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
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
    parser.add_argument("--out", default=str(ROOT / ".bench"), metavar="DIR")
    parser.add_argument("--fresh", action="store_true", help="do not go on with an unfinished run")
    options = parser.parse_args(argv)
    if options.quick:
        options.secs, options.rounds, options.conc = 1.0, 1, "1,64"
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table; the exit code is 1 when an answer of Callboard or the upstream was wrong, 130 after Ctrl-C."""
    options = _arguments(argv)
    stop_like_ctrl_c()
    try:
        if options.shapes:
            shapes.main(options, say)
        run = asyncio.run(bench(options))
    except KeyboardInterrupt:
        say("stopped; the same command goes on from here")
        sys.exit(130)
    print(write(run, Path(options.out)))
    say(f"{options.out}: results.json, table.md, plot.svg")
    ours = (DIRECT.name, CALLBOARD.name)
    sys.exit(1 if any(taken.errors for taken in run.samples if taken.cell.gateway in ours) else 0)


if __name__ == "__main__":
    main()
