"""A load generator for tools/call over MCP Streamable HTTP, both eras. It prints one JSON object.

    python -m bench.load --url http://127.0.0.1:9100/mcp --era 2026 --conc 64 --secs 5

Every connection is kept alive and has one request in flight; the next follows the answer, or is due at `--rate`. The
id and the text of each answer are checked, whether it comes as JSON or as SSE. In the handshake era each connection has
its own session. Only loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from bench.accounting import Meter, Usage
from bench.caller import Caller, Plan, Requests, Tally

__all__ = ["Plan", "Report", "main", "run"]

_IDS_PER_CONNECTION = 10_000_000
_RETRY_SECONDS = 0.02


@dataclass
class Report:
    """What came back to `calls` that ended inside the measured window.

    Latencies are of those that also began in it, unless these are too few: where one call takes as long as the window.
    """

    era: str
    conc: int
    secs: float
    calls: int
    errors: int
    calls_per_s: float
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    cpu_us_per_call: float
    samples: list[str]
    usage: Usage | None = None


class Gate:
    """Opens the window when every connection was there once: handshakes are not what is measured."""

    def __init__(self, missing: int, opened: Callable[[], object]) -> None:
        self._missing = missing
        self._opened = opened

    def passed(self) -> None:
        """One more is there, or will not come."""
        self._missing -= 1
        if self._missing == 0:
            self._opened()


async def _drive(index: int, requests: Requests, tally: Tally, open_callers: set[Caller], gate: Gate) -> None:
    """Keep one connection calling until the window ends; after a failure open another."""
    first = True
    loop, number = asyncio.get_running_loop(), index * _IDS_PER_CONNECTION
    while time.perf_counter() < tally.end and tally.budget > 0:
        caller = Caller(number, requests, tally)
        try:
            await loop.create_connection(lambda c=caller: c, requests.host, requests.port)  # type: ignore[misc]
            open_callers.add(caller)
            if not requests.modern:
                await caller.handshake()
            if first:
                gate.passed()
                first = False
            caller.start(index / requests.conc)
            await caller.finished
        except OSError as problem:
            tally.failed(f"{type(problem).__name__}: {problem}")
            if first:
                gate.passed()
                first = False
        finally:
            open_callers.discard(caller)
        number = caller.number
        if caller.left > 0 and time.perf_counter() < tally.end and tally.budget > 0:
            await asyncio.sleep(_RETRY_SECONDS)


async def run(plan: Plan, meter: Meter | None = None) -> Report:
    """Run one load; `meter` is read over the measured window."""
    requests, callers = Requests(plan), set[Caller]()
    tally = Tally(budget=plan.calls if plan.calls is not None else 2**62)
    loop = asyncio.get_running_loop()
    window = Window(tally, plan.secs, meter)
    gate = Gate(plan.conc, lambda: loop.call_later(plan.warmup, window.open))
    opening = loop.call_later(plan.warmup if plan.calls is not None else plan.warmup + plan.grace, window.open)
    tasks = [asyncio.create_task(_drive(n, requests, tally, callers, gate)) for n in range(plan.conc)]
    _, late = await asyncio.wait(tasks, timeout=plan.warmup + plan.secs + 2 * plan.grace)
    opening.cancel()
    window.close()
    for caller in tuple(callers):
        caller.give_up()
    if late:
        await asyncio.wait(late, timeout=1.0)
    return _report(plan, tally, window)


class Window:
    """The measured part of a run: it sets the times in the tally and counts our own CPU between them."""

    def __init__(self, tally: Tally, secs: float, meter: Meter | None) -> None:
        self._tally = tally
        self._planned = secs
        self._meter = meter
        self.usage: Usage | None = None
        self.cpu = self.secs = 0.0
        self._opened = False
        self._closing: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """The warm-up is over, or nobody waits for the last connections any longer."""
        if self._opened:
            return
        self._opened = True
        if self._meter is not None:
            self._meter.restart()
        self._closing = asyncio.get_running_loop().call_later(self._planned, self.close)
        self._cpu_before = time.process_time()
        self._tally.begin = time.perf_counter()
        self._tally.end = self._tally.begin + self._planned

    def close(self) -> None:
        """The time is up, or there is nothing left to do."""
        if self._closing is None:
            return
        self.cpu = time.process_time() - self._cpu_before
        self.secs = min(time.perf_counter() - self._tally.begin, self._planned)
        if self._meter is not None:
            self.usage = self._meter.read()
        self._closing.cancel()
        self._closing = None


def _report(plan: Plan, tally: Tally, window: Window) -> Report:
    count, secs = len(tally.latencies) + len(tally.earlier), window.secs
    ordered = sorted(tally.latencies if 2 * len(tally.latencies) >= count else tally.latencies + tally.earlier)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 3) if ordered else 0.0

    return Report(
        era=plan.era,
        conc=plan.conc,
        secs=round(secs, 3),
        calls=count,
        errors=tally.errors,
        calls_per_s=round(count / secs, 1) if secs else 0.0,
        mean_ms=round(sum(ordered) / len(ordered) * 1000, 3) if ordered else 0.0,
        p50_ms=at(0.5),
        p95_ms=at(0.95),
        p99_ms=at(0.99),
        max_ms=at(1.0),
        cpu_us_per_call=round(window.cpu / count * 1e6, 1) if count else 0.0,
        samples=tally.samples,
        usage=window.usage,
    )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--era", choices=("2025", "2026"), default="2026")
    parser.add_argument("--conc", type=int, default=1)
    parser.add_argument("--secs", type=float, default=5.0)
    parser.add_argument("--warmup", type=float, default=1.0)
    parser.add_argument("--tool", default="echo")
    parser.add_argument("--arg", default="text")
    parser.add_argument("--size", type=int, default=32, help="length of the text, at least 12")
    parser.add_argument("--header", action="append", default=[], dest="headers", metavar="'NAME: VALUE'")
    parser.add_argument("--calls", type=int, help="stop after that many calls, warm-up included")
    parser.add_argument("--grace", type=float, default=10.0, help="seconds to wait for the last answers")
    parser.add_argument("--method", choices=("tools/call", "tools/list"), default="tools/call")
    parser.add_argument("--arguments", default="{}", metavar="JSON", help="more arguments of every call")
    parser.add_argument("--expect", default="text", help="text, size:N, events:N or tools:N")
    parser.add_argument("--per-session", type=int, default=2**62, help="calls of a connection before it is renewed")
    parser.add_argument("--rate", type=float, default=0.0, help="calls/s that are due, whatever the answers do")
    parser.add_argument("--pids", default="", help="process trees to account, separated by commas")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run one load and print its report."""
    options = vars(_arguments(argv))
    pids = [int(pid) for pid in options.pop("pids").split(",") if pid]
    plan = Plan(**{**options, "headers": tuple(options["headers"])})
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    gc.freeze()
    with asyncio.Runner(loop_factory=factory) as runner:
        report = runner.run(run(plan, Meter(pids) if pids else None))
    print(json.dumps(asdict(report)))


if __name__ == "__main__":
    main()
