"""`make bench`: tools/call through Callboard beside the direct call, interleaved in one run.

    python -m bench.callboard [--rounds 3] [--secs 4] [--conc 1,16,64] [--era 2026,2025] [--json FILE]

Callboard runs as `callboard up` starts it, everything on: token, policy, argument validation, call records. The
upstream is the echo server of the tests. Figures are medians over the rounds; CPU is of all processes of the tree
(five services, NATS, Postgres, the supervisor) from the kernel's accounting, in microseconds per call.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.accounting import Meter, memory_by_name
from bench.load import Plan, Report, run
from tests.support.stack import Stack, running_stack
from tests.support.upstreams.launch import running

FILE = """\
version: 1
organisation: bench
servers:
  echo: {{url: "{url}"}}
playbooks:
  bench:
    servers: {{echo: {{names: bare}}}}
"""
GOAL_CALLS, GOAL_CPU = 2000, 600


@asynccontextmanager
async def everything() -> AsyncIterator[tuple[Stack, str, str]]:
    """A running Callboard over the echo upstream: (stack, direct URL, token)."""
    with tempfile.TemporaryDirectory(prefix="cb-bench-") as folder:
        async with running("echo") as upstream, running_stack(Path(folder) / "data") as stack:
            await stack.apply(FILE.format(url=upstream.url), "bench")
            yield stack, upstream.url, await stack.token("bench")


async def measure(
    stack: Stack, direct: str, token: str, options: argparse.Namespace
) -> dict[tuple[str, str, int], list[Report]]:
    """All rounds, interleaved: what drifts in the machine drifts for both."""
    reports: dict[tuple[str, str, int], list[Report]] = {}
    for number in range(options.rounds):
        for era in options.era.split(","):
            for conc in (int(word) for word in options.conc.split(",")):
                print(f"round {number + 1}/{options.rounds}: era {era}, {conc} in flight", file=sys.stderr)
                common: dict[str, Any] = {"era": era, "conc": conc, "secs": options.secs, "warmup": 0.5, "tool": "echo"}
                plan = Plan(url=direct, **common)
                reports.setdefault(("direct", era, conc), []).append(await run(plan))
                through = Plan(
                    url=stack.endpoint("bench", "bench"), headers=(f"Authorization: Bearer {token}",), **common
                )
                meter = Meter([stack.process.pid])
                reports.setdefault(("callboard", era, conc), []).append(await run(through, meter))
    return reports


def summary(reports: dict[tuple[str, str, int], list[Report]]) -> list[dict[str, Any]]:
    """Medians per endpoint, era and concurrency."""
    rows = []
    for (name, era, conc), found in reports.items():
        row: dict[str, Any] = {"endpoint": name, "era": era, "conc": conc, "errors": sum(r.errors for r in found)}
        for key in ("calls_per_s", "p50_ms", "p95_ms", "p99_ms"):
            row[key] = round(statistics.median(getattr(report, key) for report in found), 3)
        costs = [cost for report in found if (cost := _cpu(report))]
        if costs:
            row["cpu_us"] = round(statistics.median(sum(cost.values()) for cost in costs), 1)
            names = sorted({name for cost in costs for name in cost})
            row["cpu_us_by_process"] = {
                name: round(statistics.median(cost.get(name, 0.0) for cost in costs), 1) for name in names
            }
        rows.append(row)
    return rows


def _cpu(report: Report) -> dict[str, float]:
    if report.usage is None or not report.calls:
        return {}
    return {name: 1e6 * seconds / report.calls for name, seconds in report.usage.cpu_s.items() if seconds}


def table(rows: list[dict[str, Any]]) -> str:
    """For people."""
    lines = [
        f"{'endpoint':<10} {'era':<5} {'conc':>4} {'calls/s':>9} {'p50 ms':>8} {'p99 ms':>8} {'CPU us':>8} {'err':>4}"
    ]
    for row in rows:
        cpu = f"{row['cpu_us']:>8.0f}" if "cpu_us" in row else f"{'':>8}"
        lines.append(
            f"{row['endpoint']:<10} {row['era']:<5} {row['conc']:>4} {row['calls_per_s']:>9.0f} {row['p50_ms']:>8.2f} "
            f"{row['p99_ms']:>8.2f} {cpu} {row['errors']:>4}"
        )
    return "\n".join(lines)


def verdict(rows: list[dict[str, Any]]) -> list[str]:
    """The goals of today beside what was measured."""
    lines = []
    for row in rows:
        if row["endpoint"] == "callboard" and row["conc"] == 64:
            parts = ", ".join(f"{name} {cost:.0f}" for name, cost in row["cpu_us_by_process"].items())
            lines.append(
                f"era {row['era']}, 64 in flight: {row['calls_per_s']:.0f} calls/s (goal {GOAL_CALLS}), "
                f"{row['cpu_us']:.0f} us of CPU per call (goal under {GOAL_CPU}): {parts}"
            )
    return lines


async def bench(options: argparse.Namespace) -> int:
    """Run, print, and fail when an answer was wrong."""
    async with everything() as (stack, direct, token):
        reports = await measure(stack, direct, token, options)
        memory = memory_by_name([stack.process.pid])
    rows = summary(reports)
    total = sum(share.pss for share in memory.values())
    print(table(rows))
    print("\n".join(verdict(rows)))
    print(f"memory of the whole tree after load: {total:.0f} MiB (PSS)")
    if options.json:
        parts = {name: share.pss for name, share in memory.items()}
        Path(options.json).write_text(json.dumps({"rows": rows, "memory_mib": parts}, indent=1))
    return 1 if any(row["errors"] for row in rows) else 0


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--secs", type=float, default=4)
    parser.add_argument("--conc", default="1,16,64")
    parser.add_argument("--era", default="2026,2025")
    parser.add_argument("--json", default="")
    sys.exit(asyncio.run(bench(parser.parse_args())))


if __name__ == "__main__":
    main()
