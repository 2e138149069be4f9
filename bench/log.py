"""`make bench-log`: the log and what is made of it, against the figures that it has to reach.

    python -m bench.log [--secs 4] [--json FILE] [--only append,replay,visible,compile,calls]

A real Postgres as `callboard up` runs it (every commit is on the disk before it is acknowledged, the hash chain is on),
and for `visible` a real `callboard up` with two of every service.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import msgspec
import uvloop

from bench.big import big_catalogues, big_content, other_content
from bench.calls import run as call_log_figures
from bench.figures import Figure
from callboard.contracts.events import EventMeta, OrganisationCreated, PlaybookPublished
from callboard.kernel.diff import changes_between
from callboard.local.postgres_server import EmbeddedPostgres
from callboard.platform.event_store import EventStore, Write, new_id
from callboard.platform.migrate import migrate
from callboard.platform.postgres import open_pool
from callboard.platform.room import settle
from callboard_projections.history.fold import Folder
from callboard_projections.history.registry import PROJECTIONS, establish
from callboard_router.catalogue.compiled import CompiledPlaybook
from tests.support.stack import META as META_2026
from tests.support.stack import Stack, running_stack

META = EventMeta(actor="bench", comment="bench", producer="bench")
ONE, MANY = 16, 24
"""Writers at once: in one organisation they wait for each other, in many for the disk."""
ALIKE = 8
"""So many equal answers mean that both routers gave one (all but 1 in 128 times)."""
HEADERS = {
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "prompts/list",
    "Accept": "application/json, text/event-stream",
}


class Request(msgspec.Struct):
    """Stands for a command: what makes it one of its own is its id."""

    text: str = "bench"


async def _nobody(organisation: str, seq: int) -> None:
    return None


def _change(playbook: str, version: int) -> PlaybookPublished:
    """A change of ordinary size: a playbook of five tools."""
    content = big_content(servers=1, tools=5)
    return PlaybookPublished(playbook=playbook, version=version, content=content, content_digest="sha256:0")


@asynccontextmanager
async def database() -> AsyncIterator[str]:
    """The DSN of a migrated database."""
    with tempfile.TemporaryDirectory(prefix="cb-bench-") as folder, EmbeddedPostgres(Path(folder) / "pg") as server:
        await migrate(server.dsn)
        yield server.dsn


@asynccontextmanager
async def _opened(dsn: str, size: int) -> AsyncIterator[asyncpg.Pool]:
    """The pool of a room."""
    pool = await open_pool(dsn, size)
    try:
        yield pool
    finally:
        await pool.close()


async def _appends(store: EventStore, writers: int, secs: float, organisation: Callable[[int], str]) -> float:
    """Appends per second of so many writers, each on a stream of its own, with the expected version."""
    done = 0
    until = time.monotonic() + secs
    event = _change("p", 1)

    async def write(number: int) -> None:
        nonlocal done
        version = 0
        while time.monotonic() < until:
            writes = [Write(f"playbook-{number}", (event,), version)]
            await store.append(organisation(number), new_id(), Request(), META, writes)
            version += 1
            done += 1

    began = time.monotonic()
    await asyncio.gather(*(write(number) for number in range(writers)))
    return done / (time.monotonic() - began)


async def append_figures(secs: float) -> list[Figure]:
    """Changes per second, in one organisation and over many."""
    async with database() as dsn, _opened(dsn, MANY) as pool:
        store = EventStore(pool, _nobody)
        one = await _appends(store, ONE, secs, lambda _: "acme")
        many = await _appends(store, MANY, secs, lambda number: f"org{number}")
    return [
        Figure("changes appended, one organisation", one, "/s", 1000, True),
        Figure(f"changes appended, {MANY} organisations", many, "/s", 4000, True),
    ]


async def replay_figures(events: int) -> list[Figure]:
    """Events per second folded from zero into all projections, each at its own pace."""
    async with database() as dsn, _opened(dsn, 4) as pool:
        store = EventStore(pool, _nobody)
        await store.append("acme", new_id(), Request(), META, [_created()])
        batch = tuple(_change("p", 1) for _ in range(250))
        for number in range(events // len(batch)):
            versions = tuple(
                msgspec.structs.replace(event, playbook=f"p{at % 20}", version=number * len(batch) + at)
                for at, event in enumerate(batch)
            )
            await store.append("acme", new_id(), Request(), META, [Write("playbook-p", versions, None)])
        await establish(pool, PROJECTIONS)
        settle()
        took = {}
        for projection in PROJECTIONS:
            began = time.monotonic()
            await Folder(pool, projection).catch_up("acme")
            took[projection.name] = time.monotonic() - began
    folded = events // 250 * 250 + 1
    slowest = max(took, key=lambda name: took[name])
    return [
        Figure("events replayed into all projections, in turn", folded / sum(took.values()), "/s", 40_000, True),
        Figure(f"events replayed into the slowest ({slowest})", folded / took[slowest], "/s", 40_000, True),
    ]


def _created() -> Write:
    return Write("organisation-acme", (OrganisationCreated(organisation="acme"),), 0)


FILE = """\
version: 1
organisation: bench
playbooks:
  p: {{access: anonymous, prompts: {{{name}: {{template: Hello}}}}}}
"""


async def visible_figures(changes: int) -> list[Figure]:
    """From the acknowledgement of a rollback to an agent at the other edge that lists the other content."""
    with tempfile.TemporaryDirectory(prefix="cb-bench-") as folder:
        async with running_stack(Path(folder) / "data", replicas=2) as stack:
            await stack.apply(FILE.format(name="one"))
            await stack.apply(FILE.format(name="two"))
            taken = [await _seen_after(stack, number) for number in range(changes)]
    ordered = sorted(taken)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return [
        Figure("from acknowledged to seen by agents, median", 1e3 * statistics.median(taken), "ms", 100, False),
        Figure(f"from acknowledged to seen by agents, p99 of {changes}", 1e3 * p99, "ms", 100, False),
    ]


async def _seen_after(stack: Stack, number: int) -> float:
    wanted = ("one", "two")[number % 2]
    url = f"{stack.urls[0]}/api/v1/organisations/bench/playbooks/p/rollback"
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {stack.admin_token}"}, timeout=10) as http:
        other = stack.endpoint("bench", "p", 1)
        await _listed(http, other)  # the connection is there
        answer = await http.post(url, json={"to": number % 2 + 1, "comment": "bench"})
        answer.raise_for_status()
        began = seen = time.monotonic()
        alike = 0
        while alike < ALIKE and seen - began < 10:
            # Several in a row: NATS chooses among the routers, and every one of them must know.
            alike = alike + 1 if await _listed(http, other) == [wanted] else 0
            seen = seen if alike > 1 else time.monotonic()
    return seen - began


async def _listed(http: httpx2.AsyncClient, url: str) -> list[str]:
    body = {"jsonrpc": "2.0", "id": 1, "method": "prompts/list", "params": {"_meta": META_2026}}
    answer = await http.post(url, json=body, headers=HEADERS)
    return [prompt["name"] for prompt in answer.json()["result"]["prompts"]]


async def compile_figures(rounds: int) -> list[Figure]:
    """Compile a playbook of 50 servers and 2,000 tools, and compare two such."""
    content, catalogues = big_content(), big_catalogues()
    other, definitions = other_content()

    def compiled() -> object:
        return CompiledPlaybook(1, content, catalogues, 1000)

    def compared() -> object:
        return changes_between(content, other, definitions)

    return [
        Figure("compile 50 servers with 2,000 tools", _milliseconds(compiled, rounds), "ms", 200, False),
        Figure("compare two such, every tool changed", _milliseconds(compared, rounds), "ms", 300, False),
    ]


async def calls_figures(records: int) -> list[Figure]:
    """The last 24 hours of a call log of so many records, by every filter (see `bench.calls`)."""
    with tempfile.TemporaryDirectory(prefix="cb-bench-") as folder:
        figures = await call_log_figures(Path(folder), records, rounds=40, batches=20)
    return [max(figures, key=lambda figure: figure.value)]


def _milliseconds(work: Callable[[], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return 1e3 * statistics.median(taken)


def main() -> None:
    """Print the table; the exit code is 1 when a figure was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--secs", type=float, default=4.0, help="seconds of each append run")
    parser.add_argument("--events", type=int, default=20_000, help="events to replay")
    parser.add_argument("--records", type=int, default=10_000_000, help="call records to search")
    parser.add_argument("--changes", type=int, default=200, help="changes to be seen")
    parser.add_argument("--only", default="append,replay,visible,compile,calls")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    parts: dict[str, Callable[[], Awaitable[list[Figure]]]] = {
        "append": lambda: append_figures(options.secs),
        "replay": lambda: replay_figures(options.events),
        "visible": lambda: visible_figures(options.changes),
        "compile": lambda: compile_figures(5),
        "calls": lambda: calls_figures(options.records),
    }
    figures: list[Figure] = []
    for name in options.only.split(","):
        print(f"{name} …", file=sys.stderr)
        found = uvloop.run(parts[name]())  # type: ignore[arg-type]  # each is a coroutine; the loop is that of a room
        figures += found
        for figure in found:
            print(figure, flush=True)
    if options.json:
        rows: list[dict[str, Any]] = [{**figure._asdict(), "reached": figure.reached} for figure in figures]
        Path(options.json).write_text(json.dumps(rows, indent=2) + "\n")
    sys.exit(0 if all(figure.reached for figure in figures) else 1)


if __name__ == "__main__":
    main()
