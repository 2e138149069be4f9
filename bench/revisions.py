"""`make bench-compare BASE=rev`: does this checkout cost more CPU per call than another revision?

    python -m bench.revisions BASE [--pairs 12] [--secs 2] [--conc 64] [--era 2026] [--kind http]

BASE is checked out into a worktree with a virtual environment of its own. Both run over one upstream and are measured
in turns, first the one, then the other first. Prints the ratio with a 95 % confidence interval from 10,000 resamples
of the pairs; an interval that has 0 in it says that no difference was seen.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.gateways import say
from bench.measure import Length, Noise, sample
from bench.peers.callboard import callboard_up, playbooks
from bench.peers.launch import answering, stop_like_ctrl_c
from bench.peers.peer import Endpoint, Place, Upstream
from bench.samples import Cell, Sample, machine, revision
from bench.upstream import echo_upstream

ROOT = Path(__file__).resolve().parents[1]
_RESAMPLES, _SEED = 10_000, 1
BASE, HERE = "base", "here"


class Interval(NamedTuple):
    """A relative change (0.1 is 10 % more) and where it lies with 95 % confidence."""

    change: float
    low: float
    high: float

    @property
    def seen(self) -> bool:
        """Whether it is more than chance."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        verdict = "" if self.seen else ", no difference seen"
        return f"{self.change:+.1%} (95 %: {self.low:+.1%} to {self.high:+.1%}{verdict})"


def interval(base: Sequence[float], here: Sequence[float]) -> Interval:
    """The change from `base` to `here`, pair by pair; the ratio is that of the means of whole pairs."""
    pairs, drawn = list(zip(base, here, strict=True)), random.Random(_SEED)
    ratios = sorted(_ratio(drawn.choices(pairs, k=len(pairs))) for _ in range(_RESAMPLES))
    low, high = ratios[int(0.025 * _RESAMPLES)], ratios[int(0.975 * _RESAMPLES) - 1]
    return Interval(_ratio(pairs), low, high)


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    return sum(here for _, here in pairs) / sum(base for base, _ in pairs) - 1


@contextlib.contextmanager
def worktree(rev: str, folder: Path) -> Iterator[Path]:
    """`rev` checked out and installed in a worktree of this repository, which is removed again."""
    tree = folder / "worktree"
    subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(tree), rev], cwd=ROOT, check=True)
    try:
        (tree / ".uv").symlink_to(ROOT / ".uv")
        say(f"installing {rev}")
        subprocess.run([str(tree / "bin" / "install")], check=True, capture_output=True)
        yield tree
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)


@contextlib.asynccontextmanager
async def running(root: Path, folder: Path, upstream: Upstream, kind: str, era: str) -> AsyncIterator[Endpoint]:
    """Callboard of the checkout at `root`, set up with its own command line: the file format may differ."""
    folder.mkdir()
    async with callboard_up(folder, root) as stack:
        program = str(root / ".venv" / "bin" / "callboard")
        file = folder / "callboard.yaml"
        file.write_text(playbooks(Place(folder, upstream, folder), (kind,)))
        await _command(program, "apply", "-f", str(file), "-m", "benchmark", "--data-dir", str(stack.directory))
        words = ("token", "issue", "bench", "--org", "bench", "--json", "--data-dir", str(stack.directory))
        token = json.loads(await _command(program, *words))["token"]
        url = stack.endpoint("bench", f"over-{kind}")
        endpoint = Endpoint(url, stack.process.pid, headers=(f"Authorization: Bearer {token}",))
        await answering(endpoint, era, stack.process, folder)
        yield endpoint


async def _command(*words: str) -> str:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=pipe)
    printed, said = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(words[:3])} ended with {process.returncode}: {said.decode()[-300:]}")
    return printed.decode()


async def compare(options: argparse.Namespace, tree: Path, folder: Path) -> dict[str, list[Sample]]:
    """The samples of both, pair by pair."""
    async with contextlib.AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(echo_upstream(folder))
        places = {BASE: tree, HERE: ROOT}
        endpoints = {
            name: await stack.enter_async_context(running(root, folder / name, upstream, options.kind, options.era))
            for name, root in ((name, places[name]) for name in places)
        }
        taken: dict[str, list[Sample]] = {BASE: [], HERE: []}
        noise, length = Noise(options.tries), Length(0.5, options.secs)
        for number in range(options.pairs + 1):  # the first pair warms up
            for name in (BASE, HERE) if number % 2 else (HERE, BASE):
                cell = Cell(name, options.kind, options.era, options.conc)
                one = await sample(cell, endpoints[name], upstream.pid, length, noise)
                if number:
                    taken[name].append(one)
                noisy = f"  (others used {one.foreign:.2f} cores)" if one.noisy else ""
                say(f"pair {number}/{options.pairs} {name}: {one.cpu_us:,.0f} us, {one.calls_per_s:,.0f}/s{noisy}")
        return taken


def verdict(taken: dict[str, list[Sample]]) -> str:
    """What changed, and how surely."""
    lines = []
    for field, what in (("cpu_us", "CPU us per call"), ("calls_per_s", "calls/s"), ("p50_ms", "p50 ms")):
        base, here = ([float(getattr(one, field)) for one in taken[name]] for name in (BASE, HERE))
        middles = f"{statistics.median(base):>9,.2f} > {statistics.median(here):>9,.2f}"
        lines.append(f"{what:<16} {middles}   {interval(base, here)}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the comparison; the exit code is 1 when this checkout is dearer for certain, or an answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="a revision, for example HEAD~1")
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--secs", type=float, default=2.0)
    parser.add_argument("--conc", type=int, default=64)
    parser.add_argument("--era", default="2026")
    parser.add_argument("--kind", default="http")
    parser.add_argument("--tries", type=int, default=2)
    options = parser.parse_args(argv)
    stop_like_ctrl_c()
    try:
        with tempfile.TemporaryDirectory(prefix="cb-bench-") as name, worktree(options.base, Path(name)) as tree:
            print(f"base {revision(tree)}, here {revision(ROOT)}, {options.era} over {options.kind} at {options.conc}")
            taken = asyncio.run(compare(options, tree, Path(name)))
    except KeyboardInterrupt:
        sys.exit(130)
    print(f"{verdict(taken)}\n{machine()}")
    dearer = interval(*([one.cpu_us for one in taken[name]] for name in (BASE, HERE))).low > 0
    sys.exit(1 if dearer or any(one.errors for each in taken.values() for one in each) else 0)


if __name__ == "__main__":
    main()
