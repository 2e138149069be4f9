"""One sample of one cell: the load generator in a process of its own, the kernel's accounting, and who disturbed it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.accounting import machine_busy
from bench.peers.peer import UPSTREAM_PROCESS, Endpoint
from bench.samples import Cell, Sample

_ROOT = Path(__file__).resolve().parents[1]
_QUIET_CORES, _QUIET_SECONDS, _LOOK_SECONDS = 0.25, 4.0, 0.2
_STOLEN_CORES = 0.1
_GRACE_SECONDS = 20.0
_HOPELESS = 5


@dataclass(frozen=True)
class Shape:
    """What every call of a sample sends and what its answer must have; see `bench.caller.Plan`."""

    method: str = "tools/call"
    tool: str = ""
    arguments: str = "{}"
    expect: str = "text"
    per_session: int = 0
    rate: float = 0.0


ECHO = Shape()


class Noise:
    """Whether others use the machine; on one that is never quiet, nothing is repeated after a while."""

    def __init__(self, tries: int) -> None:
        self._tries = tries
        self._in_a_row = 0

    @property
    def hopeless(self) -> bool:
        """Whether the last samples were noisy however often they were repeated."""
        return self._in_a_row >= _HOPELESS

    @property
    def tries(self) -> int:
        """How often a sample is taken at most."""
        return 1 if self.hopeless else self._tries

    def judge(self, sample: Sample) -> None:
        """Count what was kept."""
        self._in_a_row = self._in_a_row + 1 if sample.noisy else 0

    async def quiet(self, idle: float) -> None:
        """Wait until the machine has next to nothing to do, for a few seconds at most.

        `idle` is what who is measured uses when nothing is asked of it, in cores.
        """
        if self.hopeless:
            return
        until = time.monotonic() + _QUIET_SECONDS
        while time.monotonic() < until:
            before = machine_busy()
            await asyncio.sleep(_LOOK_SECONDS)
            if (machine_busy() - before) / _LOOK_SECONDS < _QUIET_CORES + idle:
                return


@dataclass(frozen=True)
class Length:
    """Seconds of warm-up and of measuring."""

    warmup: float
    secs: float

    @classmethod
    def for_rate(cls, conc: int, rate: float, secs: float) -> Length:
        """Long enough for answers that wait in a queue: at `rate` calls/s all in flight take conc / rate seconds."""
        queue = conc / rate if rate else 0.0
        longest = cls.longest()
        return cls(max(0.3, min(queue, longest.warmup)), max(secs, min(1.5 * queue, longest.secs)))

    @classmethod
    def longest(cls) -> Length:
        """Nothing takes longer, however slow."""
        return cls(6.0, 10.0)


async def sample(
    cell: Cell,
    endpoint: Endpoint,
    upstream: int,
    length: Length,
    noise: Noise,
    shape: Shape = ECHO,
    idle: float = 0.0,
) -> Sample:
    """The quietest of a few tries. `upstream` is the pid of the echo server; `idle` as in `Noise.quiet`."""
    best: Sample | None = None
    for _ in range(noise.tries):
        await noise.quiet(idle)
        taken = _sample(cell, await _load(cell, endpoint, upstream, length, shape))
        taken.noisy = taken.foreign > _QUIET_CORES or taken.stolen > _STOLEN_CORES
        if best is None or (taken.noisy, taken.foreign) < (best.noisy, best.foreign):
            best = taken
        if not taken.noisy:
            break
    assert best is not None
    noise.judge(best)
    return best


def _words(cell: Cell, endpoint: Endpoint, upstream: int, length: Length, shape: Shape) -> list[str]:
    pids = ",".join(str(pid) for pid in (endpoint.pid, upstream) if pid)
    words = [sys.executable, "-m", "bench.load", "--url", endpoint.url, "--era", cell.era, "--conc", str(cell.conc)]
    words += ["--secs", f"{length.secs:.2f}", "--warmup", f"{length.warmup:.2f}", "--grace", str(_GRACE_SECONDS)]
    words += ["--tool", shape.tool or endpoint.tool, "--method", shape.method, "--arguments", shape.arguments]
    words += ["--expect", shape.expect, "--pids", pids]
    if shape.per_session:
        words += ["--per-session", str(shape.per_session)]
    if shape.rate:
        words += ["--rate", f"{shape.rate:.1f}"]
    return [*words, *(word for header in endpoint.headers for word in ("--header", header))]


async def _load(cell: Cell, endpoint: Endpoint, upstream: int, length: Length, shape: Shape) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *_words(cell, endpoint, upstream, length, shape),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=_ROOT,
        start_new_session=True,
    )
    try:
        printed, said = await process.communicate()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            await process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"the load generator ended with {process.returncode}: {said.decode()[-500:]}")
    report: dict[str, Any] = json.loads(printed)
    return report


def _sample(cell: Cell, report: dict[str, Any]) -> Sample:
    usage, calls = report["usage"], report["calls"]
    each = {name: 1e6 * secs / calls for name, secs in usage["cpu_s"].items()} if calls else {}
    upstream = each.pop(UPSTREAM_PROCESS, 0.0)
    return Sample(
        cell=cell,
        round=0,
        secs=report["secs"],
        calls=calls,
        errors=report["errors"],
        calls_per_s=report["calls_per_s"],
        p50_ms=report["p50_ms"],
        p95_ms=report["p95_ms"],
        p99_ms=report["p99_ms"],
        cpu_us=round(sum(each.values()), 1),
        upstream_us=round(upstream, 1),
        load_us=report["cpu_us_per_call"],
        by_process={name: round(cost, 1) for name, cost in each.items() if cost >= 0.05},
        foreign=usage["foreign_cores"],
        stolen=usage["stolen_cores"],
        load1=round(os.getloadavg()[0], 2),
        wrong=report["samples"] if report["errors"] else [],
    )
