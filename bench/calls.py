"""The call log with ten million records: how long the last 24 hours take to answer, and what the indexes cost.

    python -m bench.calls [--records 10000000] [--keep DIR] [--rounds 40] [--json FILE]

A real Postgres as `callboard up` runs it, filled with records of 30 days; asked through the same code that answers
`calls ls`. With `--keep` the filled database stays there, and the next run only asks.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import structlog

from bench.figures import Figure
from callboard.contracts.calls import CallRecord
from callboard.contracts.records import AskCalls
from callboard.kernel.call_ids import new_call_id
from callboard.local.postgres_server import EmbeddedPostgres
from callboard.platform.migrate import migrate
from callboard.platform.postgres import open_pool, sql
from callboard.platform.walls import confined
from callboard_projections.call_log.domain import bounds_of, partition_of, row_of
from callboard_projections.call_log.partitions import Partitions
from callboard_projections.call_log.read import CallReads
from callboard_projections.call_log.store import CallStore

_HERE = "bench"
DAYS = 30
ORGANISATION = "acme"
BATCH = 500
NOWHERE = "nothing-has-this"
# What is asked: a common value, a rare one, several at once, and values that no record has.
QUESTIONS: dict[str, dict[str, Any]] = {
    "no filter": {},
    "playbook": {"playbook": "playbook-3"},
    "playbook and version": {"playbook": "playbook-3", "version": 2},
    "tool, common": {"tool": "server-1__tool_1"},
    "tool, rare": {"tool": "server-9__tool_399"},
    "server": {"server": "server-29"},
    "client, common": {"client": "client-0"},
    "client, rare": {"client": "client-199"},
    "principal": {"principal": "key000000001eef"},
    "era": {"era": "2025-11-25"},
    "outcome": {"outcome": "timeout"},
    "slow": {"min_us": 100_000},
    "slow and failed, of a client": {"min_us": 100_000, "outcome": "error", "client": "client-5"},
    "client and tool": {"client": "client-150", "tool": "server-9__tool_399"},
    "no such playbook": {"playbook": NOWHERE},
    "no such version": {"playbook": "playbook-3", "version": 999},
    "no such tool": {"tool": NOWHERE},
    "no such server": {"server": NOWHERE},
    "no such client": {"client": NOWHERE},
    "no such principal": {"principal": NOWHERE},
    "no such era": {"era": NOWHERE},
    "no such outcome": {"outcome": NOWHERE},
    "no such digest": {"digest": NOWHERE},
    "no such trace": {"trace_id": NOWHERE},
    "nothing as slow": {"min_us": 10**12},
    "common, but not together": {"playbook": "playbook-1", "tool": "server-2__tool_2"},
}


async def fill(pool: asyncpg.Pool, records: int) -> None:
    """Records of the last 30 days, in the order of time, as they would have come."""
    today = datetime.now(UTC).date()
    began = time.monotonic()
    for back in range(DAYS, 0, -1):
        day = today - timedelta(days=back)
        table = f"cb.{partition_of(day)}"
        start, end = bounds_of(day)
        await pool.execute(sql(_HERE, "call_table").replace("{table}", table))
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        text = sql(_HERE, "call_day").replace("{table}", table)
        await pool.execute(text, midnight, records // DAYS, ORGANISATION, timeout=600)
        text = sql(_HERE, "call_attach").replace("{table}", table).replace("{from}", start).replace("{to}", end)
        await pool.execute(text, timeout=600)
        seconds = time.monotonic() - began
        done = (DAYS - back + 1) / DAYS
        print(f"\r{done:4.0%} of {records:,} records, {seconds:.0f} s", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    await pool.execute(sql(_HERE, "analyze"), timeout=600)


async def measured(ask: Callable[[], Awaitable[object]], rounds: int) -> list[float]:
    """Milliseconds of each round, in order of size."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        await ask()
        taken.append(1e3 * (time.perf_counter() - began))
    return sorted(taken)


async def ask_everything(pool: asyncpg.Pool, newest: datetime, rounds: int) -> list[Figure]:
    """Every question over the last 24 hours."""
    reads, figures = CallReads(pool), []
    until = newest + timedelta(microseconds=1)
    for name, filters in QUESTIONS.items():
        question = AskCalls(organisation=ORGANISATION, until=until, **filters)
        found = len((await reads.calls(question)).calls)
        taken = await measured(lambda question=question: reads.calls(question), rounds)  # type: ignore[misc]
        p99 = taken[min(len(taken) - 1, int(len(taken) * 0.99))]
        print(f"{name:<32} {found:>4} found   p50 {statistics.median(taken):>7.1f} ms   p99 {p99:>7.1f} ms", flush=True)
        figures.append(Figure(f"calls of 24 h by {name}, p99", p99, "ms", 100, False))
    return figures


def batch_of(number: int, at: datetime) -> list[tuple[object, ...]]:
    """A batch of records as projections writes them."""
    drawn = random.Random(number)
    rows = []
    for n in range(BATCH):
        tool, client = int(drawn.random() ** 2 * 400), int(drawn.random() ** 3 * 200)
        moment = at + timedelta(microseconds=50 * (number * BATCH + n))
        record = CallRecord(
            call_id=new_call_id(int(moment.timestamp() * 1e6), "9f3ac211", number * BATCH + n),
            organisation=ORGANISATION, playbook=f"playbook-{tool % 40}", version=tool % 7, method="tools/call",
            server=f"server-{tool % 30}", tool=f"server-{tool % 30}__tool_{tool}", upstream_name=f"tool_{tool}",
            digest=f"sha256:{tool:064x}", client=f"client-{client}", principal=f"key{client:012x}", era="2026-07-28",
            outcome="ok" if drawn.random() > 0.03 else "tool_error", started_at=moment, total_us=1500,
            trace_id=f"{drawn.getrandbits(128):032x}", connector="connectors-1",
        )  # fmt: skip
        rows.append(row_of(record))
    return rows


async def write_batches(pool: asyncpg.Pool, at: datetime, batches: int) -> float:
    """Microseconds of the database's CPU per record, written in batches of 500 as projections does, each committed."""
    store = CallStore(pool, Partitions(pool, timedelta(days=DAYS)))
    prepared = [batch_of(number, at) for number in range(batches + 1)]
    await store.write(prepared.pop())
    pid = (await pool.fetchrow(sql(_HERE, "backend")))["pid"]
    began = _cpu_seconds(pid)
    for rows in prepared:
        await store.write(rows)
    return 1e6 * (_cpu_seconds(pid) - began) / (BATCH * batches)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def index_costs(dsn: str, batches: int) -> None:
    """What a record costs with all indexes, and as they go one after the other, each time into a fresh day."""
    await migrate(dsn)
    pool = await open_pool(dsn, 1)
    async with pool:
        day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        await write_batches(pool, day, batches)  # the caches are warm
        cost = await write_batches(pool, day + timedelta(days=1), batches)
        print(f"{'a record with all indexes':<40} {cost:>6.1f} us of the database's CPU", flush=True)
        for at, row in enumerate(await pool.fetch(sql(_HERE, "call_indexes"))):
            await pool.execute(sql(_HERE, "drop_index").replace("{name}", row["name"]))
            cost = await write_batches(pool, day + timedelta(days=2 + at), batches)
            print(f"{'... and without ' + row['name']:<40} {cost:>6.1f} us", flush=True)


async def run(folder: Path, records: int, rounds: int, batches: int) -> list[Figure]:
    """Fill if need be, ask, write."""
    with EmbeddedPostgres(folder / "pg") as server:
        await migrate(server.dsn)
        pool = await open_pool(server.dsn, 4)
        async with pool:
            newest = (await pool.fetchrow(sql(_HERE, "call_newest")))["newest"]
            if newest is None:
                await fill(pool, records)
                newest = (await pool.fetchrow(sql(_HERE, "call_newest")))["newest"]
            for row in await pool.fetch(sql(_HERE, "call_sizes")):
                print(f"{row['name']:<28} {row['bytes'] / 2**20:>8,.0f} MiB", flush=True)
            with confined(ORGANISATION):  # as a room asks for somebody
                figures = await ask_everything(pool, newest, rounds)
    with tempfile.TemporaryDirectory(prefix="cb-bench-") as other, EmbeddedPostgres(Path(other) / "pg") as server:
        await index_costs(server.dsn, batches)
    return figures


def main() -> None:
    """Print the tables; the exit code is 1 when a question took too long."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=40, help="how often each question is asked")
    parser.add_argument("--batches", type=int, default=100, help="batches of 500 written for each index")
    parser.add_argument("--keep", metavar="DIR", help="keep the filled database there, or use the one that is there")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with ExitStack() as stack:
        folder = options.keep or stack.enter_context(tempfile.TemporaryDirectory(prefix="cb-bench-"))
        figures = asyncio.run(run(Path(folder), options.records, options.rounds, options.batches))
    slowest = max(figures, key=lambda figure: figure.value)
    print(slowest)
    if options.json:
        rows = [{**figure._asdict(), "reached": figure.reached} for figure in figures]
        Path(options.json).write_text(json.dumps(rows, indent=2) + "\n")
    sys.exit(0 if slowest.reached else 1)


if __name__ == "__main__":
    main()
