"""`make flames`: where the processor time of each service goes, as flame graphs in `bench/flames/`.

    python -m bench.flames [--secs 8] [--conc 64] [--era 2026] [--out bench/flames]

Callboard runs as in `make bench`, under the same load, and is looked at twice: the Python services by py-spy (which
sees Python's functions), NATS and Postgres by perf, where that works. Width is time on the processor; the colour is
the layer: ours, a library, the kernel. Stacks of less than 0.4 % are left out, so the files stay small.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from bench.accounting import tree
from bench.measure import Length, Noise, sample
from bench.peers.callboard import callboard_up, playbooks
from bench.peers.install import installed
from bench.peers.launch import answering, stop_like_ctrl_c
from bench.peers.peer import HTTP, Endpoint, Package, Place
from bench.samples import Cell
from bench.upstream import echo_upstream
from tests.support.stack import Stack

ROOT = Path(__file__).resolve().parents[1]
_PY_SPY = Package("pypi", "py-spy", "0.4.3")
_SERVICES = ("edge", "router", "connectors", "projections")
_OTHERS = ("nats-server", "postgres")
_WIDTH, _ROW, _LEAST = 1200.0, 17, 0.004
_COLOURS = (
    (re.compile(r"\(callboard"), "#7fb07f"),
    (re.compile(r"\[k\]"), "#c98f7a"),
    (re.compile(r"\(|^<|/|\.\w"), "#8fb0cf"),
)
Stacks = Counter[tuple[str, ...]]


class Box(NamedTuple):
    """One frame of the graph: from, width (both as shares of the whole), how deep, what."""

    start: float
    share: float
    depth: int
    name: str


def boxes(stacks: Stacks) -> list[Box]:
    """The frames of all stacks, merged where they begin alike and stand beside each other by name."""
    whole = sum(stacks.values())
    return list(_laid_out(sorted(stacks.items()), whole, 0, 0)) if whole else []


def _laid_out(stacks: Sequence[tuple[tuple[str, ...], int]], whole: int, begin: int, depth: int) -> Iterator[Box]:
    at = begin
    for name in dict.fromkeys(stack[depth] for stack, _ in stacks if len(stack) > depth):
        below = [(stack, count) for stack, count in stacks if len(stack) > depth and stack[depth] == name]
        count = sum(count for _, count in below)
        if count >= _LEAST * whole:
            yield Box(at / whole, count / whole, depth, name)
            yield from _laid_out(below, whole, at, depth + 1)
        at += count


def flame_graph(title: str, stacks: Stacks) -> str:
    """The SVG text; every frame says its name and share when one points at it."""
    found = boxes(stacks)
    rows = 1 + max((box.depth for box in found), default=0)
    height = (rows + 2) * _ROW
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH:.0f}" height="{height}" font-family="system-ui">',
        f'<text x="4" y="13" font-size="13" fill="#808890">{escape(title)}, {sum(stacks.values())} samples</text>',
    ]
    for box in found:
        x, width, y = box.start * _WIDTH, box.share * _WIDTH, height - (box.depth + 1) * _ROW
        letters = int(width / 6.2)
        text = box.name if len(box.name) <= letters else box.name[: letters - 1] + "…"
        lines.append(
            f'<g><title>{escape(box.name)}: {box.share:.1%}</title><rect x="{x:.1f}" y="{y}" width="{width:.1f}" '
            f'height="{_ROW - 1}" fill="{_colour(box.name)}"/>'
            + (f'<text x="{x + 2:.1f}" y="{y + 12}" font-size="11">{escape(text)}</text>' if letters > 3 else "")
            + "</g>"
        )
    return "\n".join([*lines, "</svg>", ""])


def _colour(name: str) -> str:
    return next((colour for pattern, colour in _COLOURS if pattern.search(name)), "#c4b98a")


def folded(text: str) -> Stacks:
    """What py-spy writes: `outermost;…;innermost count`, without the lines that all have in common."""
    stacks: Stacks = Counter()
    for line in text.splitlines():
        names, _, count = line.rpartition(" ")
        frames = [re.sub(r":\d+\)$", ")", name) for name in names.split(";")]
        begin = next((n for n, frame in enumerate(frames) if frame.startswith("run (uvloop")), -1)
        stacks[tuple(frames[begin + 1 :])] += int(count)
    return stacks


def perf_stacks(text: str) -> Stacks:
    """What `perf script` prints: paragraphs, the innermost frame first; `[k]` marks the kernel's."""
    stacks: Stacks = Counter()
    for paragraph in text.split("\n\n"):
        frames = []
        for line in paragraph.splitlines()[1:]:
            words = line.split()
            name = " ".join(words[1:-1]).partition("+0x")[0]
            frames.append(f"{name} [k]" if words[-1] == "([kernel.kallsyms])" else name)
        if frames:
            stacks[tuple(reversed(frames))] += 1
    return stacks


def _watch(stack: Stack, folder: Path, secs: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    spy = installed(_PY_SPY) / "venv" / "bin" / "py-spy"
    for process in tree([stack.process.pid]).values():
        service = process.name.removeprefix("callboard_")
        out = folder / f"{service}.txt"
        if service in _SERVICES:
            words = [str(spy), "record", "-p", str(process.pid), "-f", "raw", "-o", str(out), "-d", str(secs)]
            yield service, subprocess.Popen([*words, "-r", "100"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _perf(stack: Stack, folder: Path, secs: int) -> dict[str, Stacks]:
    """NATS and Postgres; empty where perf is missing or may not look."""
    found: dict[str, Stacks] = {}
    for name in _OTHERS:
        pids = ",".join(str(process.pid) for process in tree([stack.process.pid]).values() if process.name == name)
        data = str(folder / f"{name}.data")
        words = ["perf", "record", "-q", "-g", "-F", "497", "-e", "cpu-clock", "-p", pids, "-o", data]
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run([*words, "--", "sleep", str(secs)], check=True, capture_output=True)
            script = ["perf", "script", "-i", data, "-F", "comm,ip,sym,dso"]
            printed = subprocess.run(script, check=True, capture_output=True)
            found[name] = perf_stacks(printed.stdout.decode(errors="replace"))
    return found


async def record(options: argparse.Namespace, folder: Path) -> dict[str, Stacks]:
    """The stacks of every service under load."""
    found: dict[str, Stacks] = {}
    cell = Cell("Callboard", HTTP, options.era, options.conc)
    async with contextlib.AsyncExitStack() as context:
        upstream = await context.enter_async_context(echo_upstream(folder))
        own = folder / "callboard"
        own.mkdir()
        stack = await context.enter_async_context(callboard_up(own))
        await stack.apply(playbooks(Place(own, upstream, own), (HTTP,)), "flames")
        header = f"Authorization: Bearer {await stack.token('bench')}"
        endpoint = Endpoint(stack.endpoint("bench", f"over-{HTTP}"), stack.process.pid, headers=(header,))
        await answering(endpoint, options.era, stack.process, own)
        length = Length(1.0, 4.0 + 3 * options.secs)
        load = asyncio.create_task(sample(cell, endpoint, upstream.pid, length, Noise(1)))
        await asyncio.sleep(2.0)
        for service, spy in list(_watch(stack, folder, options.secs)):
            await asyncio.to_thread(spy.wait)
            if (folder / f"{service}.txt").exists():
                found[service] = folded((folder / f"{service}.txt").read_text())
        found |= await asyncio.to_thread(_perf, stack, folder, options.secs)
        taken = await load
        print(f"{taken.calls_per_s:,.0f} calls/s while being looked at; CPU per call by process: {taken.by_process}")
    return found


def write(found: dict[str, Stacks], out: Path, about: str) -> Iterable[Path]:
    """A file for each service that was seen at work."""
    out.mkdir(parents=True, exist_ok=True)
    for service, stacks in found.items():
        if stacks:
            file = out / f"{service}.svg"
            file.write_text(flame_graph(f"{service}, {about}", stacks))
            yield file


def main(argv: Sequence[str] | None = None) -> None:
    """Record, write, say where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--secs", type=int, default=8)
    parser.add_argument("--conc", type=int, default=64, help="calls in flight")
    parser.add_argument("--era", default="2026", choices=("2026", "2025"))
    parser.add_argument("--out", default=str(ROOT / "bench" / "flames"), metavar="DIR")
    options = parser.parse_args(argv)
    stop_like_ctrl_c()
    with tempfile.TemporaryDirectory(prefix="cb-flames-") as name:
        found = asyncio.run(record(options, Path(name)))
    for file in write(found, Path(options.out), f"tools/call of {options.era}, {options.conc} in flight"):
        print(file)
    sys.exit(0 if found else 1)


if __name__ == "__main__":
    main()
