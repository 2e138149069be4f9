"""`make bench BENCH_ARGS=--shapes`: other traffic than a small echo, through Callboard and, where it can be, direct.

Every organisation below is on the same Callboard, so that a small playbook is measured beside large ones. The file is
shapes.json; a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.accounting import memory_by_name
from bench.caller import Plan, Requests
from bench.measure import ECHO, Length, Noise, Shape, sample
from bench.peers.callboard import callboard_up
from bench.peers.launch import NotStarted, wrong
from bench.peers.peer import Endpoint, Upstream
from bench.samples import Cell, Gateway, Run, Store, machine, median, revision
from bench.upstream import echo_upstream
from tests.support.stack import Stack

ROOT = Path(__file__).resolve().parents[1]
CALLBOARD, TWICE, DIRECT = "Callboard", "Callboard, two of each", "direct"
CROWDED = "Callboard, crowded"
_SERVERS, _OWN_TOOLS = 50, 7
_IDLE = 1000
_ORGANISATIONS, _AT_ONCE = 1000, 16
# By default a server has at most 512 calls in flight, and says that it is busy beyond that.
_MANY_IN_FLIGHT = {"CALLBOARD_CONNECTORS_BULKHEAD": "4096"}


@dataclass(frozen=True)
class Traffic:
    """One line: what is sent, to which organisation's playbook, with how many in flight; `direct` as well or not.

    Meanwhile there are `idle` open streams, or one version after the other is published. `half`: calls are due at half
    the rate that the line before it reached, and one that is late counts from when it was due.
    """

    name: str
    organisation: str
    conc: int
    shape: Shape = ECHO
    era: str = "2026"
    direct: bool = True
    idle: int = 0
    publishing: bool = False
    half: bool = False
    where: str = CALLBOARD


def _tools(count: int) -> tuple[Traffic, ...]:
    organisation, page = f"tools{count}", min(count, 1000)
    listing = Shape(method="tools/list", expect=f"tools:{page}")
    return (
        Traffic(f"tools/list of {count:,}, a page of {page:,}", organisation, 16, listing, direct=False),
        Traffic(f"echo among {count:,} tools", organisation, 64, direct=False),
    )


TRAFFIC: tuple[Traffic, ...] = (
    Traffic("echo", "plain", 64),
    Traffic("echo at half load", "plain", 64, direct=False, half=True),
    Traffic("echo, 2025-11-25", "plain", 64, era="2025", direct=False),
    Traffic("echo at half load, 2025-11-25", "plain", 64, era="2025", direct=False, half=True),
    Traffic("result of 100 KB", "plain", 16, Shape(tool="big", arguments='{"bytes":100000}', expect="size:100000")),
    Traffic("result of 5 MB", "plain", 4, Shape(tool="big", arguments='{"bytes":5000000}', expect="size:5000000")),
    Traffic("50 progress notifications", "plain", 16, Shape("tools/call", "progress", '{"steps":50}', "events:50")),
    Traffic("upstream takes 100 ms", "plain", 1000, Shape(tool="slow", arguments='{"seconds":0.1}')),
    Traffic("a session, one call, 2025-11-25", "plain", 16, Shape(per_session=1), "2025"),
    Traffic(f"echo beside {_IDLE:,} idle streams", "plain", 64, direct=False, idle=_IDLE),
    Traffic("echo in 1,000 sessions, 2025-11-25", "plain", 1000, era="2025"),
    Traffic("echo while versions are published", "plain", 64, direct=False, publishing=True),
    *_tools(10),
    *_tools(1000),
    *_tools(10000),
    Traffic("echo, 1,000 playbooks", "playbooks1000", 64, direct=False),
    Traffic(f"echo, {_ORGANISATIONS:,} organisations", "plain", 64, direct=False, where=CROWDED),
    Traffic("echo, two of each service", "plain", 64, direct=False, where=TWICE),
)


def content_of(organisation: str, url: Callable[[int], str]) -> dict[str, Any]:
    """The file of an organisation; `url(copies)` is that of an upstream with so many copies of its tool echo."""
    servers: dict[str, Any] = {"s": {"url": url(0)}}
    chosen: dict[str, Any] = {"s": {"names": "bare"}}
    names = ["bench"]
    if organisation.startswith("tools"):
        count = int(organisation.removeprefix("tools"))
        each = count if count < _SERVERS else count // _SERVERS
        known = range(1 if count < _SERVERS else _SERVERS)
        servers = {f"s{number}": {"url": url(each - _OWN_TOOLS)} for number in known}
        chosen = {name: {} for name in servers}
    elif organisation.startswith("playbooks"):
        names += [f"other{number}" for number in range(1, int(organisation.removeprefix("playbooks")))]
    playbooks = {name: {"servers": chosen} for name in names}
    return {"version": 1, "organisation": organisation, "servers": servers, "playbooks": playbooks}


class Scene:
    """The upstreams and the Callboards that run, started when the first line needs them."""

    def __init__(self, folder: Path, stack: contextlib.AsyncExitStack, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._stack = stack
        self._say = say
        self._upstreams: dict[int, Upstream] = {}
        self._callboards: dict[str, Stack] = {}
        self._endpoints: dict[tuple[str, str], Endpoint] = {}

    async def upstream(self, copies: int = 0) -> Upstream:
        """The echo server with so many copies of its tool."""
        if copies not in self._upstreams:
            folder = self._folder / f"echo-{copies}"
            folder.mkdir()
            started = echo_upstream(folder, "--tools", str(copies))
            self._upstreams[copies] = await self._stack.enter_async_context(started)
        return self._upstreams[copies]

    def upstream_of(self, organisation: str) -> Upstream:
        """The one whose CPU is told apart; the others do nothing meanwhile."""
        count = int(organisation.removeprefix("tools")) if organisation.startswith("tools") else 0
        each = count // _SERVERS if count >= _SERVERS else count
        return self._upstreams[max(0, each - _OWN_TOOLS)]

    async def endpoint(self, where: str, organisation: str) -> Endpoint:
        """The playbook `bench` of an organisation, set up the first time."""
        if (where, organisation) not in self._endpoints:
            self._endpoints[where, organisation] = await self._set_up(where, organisation)
        return self._endpoints[where, organisation]

    @contextlib.asynccontextmanager
    async def publishing(self, where: str, organisation: str) -> AsyncIterator[None]:
        """One version after the other, each with another description of a tool."""
        stack, upstream = self._callboards[where], await self.upstream()

        async def publish() -> None:
            for number in itertools.count():
                content = content_of(organisation, lambda _: upstream.url)
                described = {"describe": {"fail": f"Fails, version {number}"}}
                content["playbooks"]["bench"]["servers"]["s"]["tools"] = described
                await stack.apply(json.dumps(content), "under load")

        task = asyncio.create_task(publish())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    async def _set_up(self, where: str, organisation: str) -> Endpoint:
        if where not in self._callboards:
            self._say(f"starting {where}")
            folder = self._folder / f"callboard-{len(self._callboards)}"
            folder.mkdir()
            started = callboard_up(folder, replicas=2 if where == TWICE else 1, settings=_MANY_IN_FLIGHT)
            self._callboards[where] = await self._stack.enter_async_context(started)
        stack = self._callboards[where]
        self._say(f"setting up {organisation}")
        for copies in (0, 3, 13, 193):
            await self.upstream(copies)
        await self._apply(stack, organisation)
        if where == CROWDED:
            await self._crowd(stack)
        header = f"Authorization: Bearer {await stack.token(organisation)}"
        tool = "s0__echo" if organisation.startswith("tools") else "echo"
        endpoint = Endpoint(stack.endpoint(organisation, "bench"), stack.process.pid, tool, (header,))
        if (why := await wrong(endpoint, "2026", grace=30.0)) is not None:
            raise NotStarted(f"{organisation}: {why}")
        return endpoint

    async def _apply(self, stack: Stack, organisation: str) -> None:
        text = content_of(organisation, lambda copies: self._upstreams[copies].url)
        await stack.apply(json.dumps(text), "benchmark")

    async def _crowd(self, stack: Stack) -> None:
        """Organisations that nobody calls, each with a server and a playbook of its own."""
        places = asyncio.Semaphore(_AT_ONCE)

        async def add(number: int) -> None:
            async with places:
                await self._apply(stack, f"other-{number}")

        await asyncio.gather(*(add(number) for number in range(1, _ORGANISATIONS)))


@contextlib.asynccontextmanager
async def idle_streams(endpoint: Endpoint, count: int) -> AsyncIterator[float]:
    """So many open `subscriptions/listen`; yields the MiB (PSS) that they cost the gateway."""
    before = _held(endpoint.pid)
    requests = Requests(Plan(endpoint.url, method="subscriptions/listen", headers=endpoint.headers))
    params = requests.envelope({"notifications": {"toolsListChanged": True}})
    writers = []
    try:
        for number in range(count):
            reader, writer = await asyncio.open_connection(requests.host, requests.port)
            writers.append(writer)
            writer.write(requests.plain({"id": number, "method": "subscriptions/listen", "params": params}))
            await asyncio.wait_for(reader.readuntil(b"acknowledged"), 30)
        yield _held(endpoint.pid) - before
    finally:
        for writer in writers:
            writer.close()


def _held(pid: int) -> float:
    return sum(share.pss for share in memory_by_name([pid]).values())


class Lines:
    """Takes the samples of every line, round by round."""

    def __init__(self, run: Run, scene: Scene, options: argparse.Namespace, store: Store) -> None:
        self._run = run
        self._scene = scene
        self._options = options
        self._store = store
        self._noise = Noise(options.tries)

    async def take(self, traffic: Traffic, number: int) -> None:
        """Callboard, and the direct path where that is the same thing."""
        endpoint = await self._scene.endpoint(traffic.where, traffic.organisation)
        upstream = self._scene.upstream_of(traffic.organisation)
        async with contextlib.AsyncExitStack() as stack:
            if traffic.idle:
                mib = await stack.enter_async_context(idle_streams(endpoint, traffic.idle))
                self._run.notes = [f"{traffic.idle:,} idle streams hold {mib:.0f} MiB (PSS)"]
            if traffic.publishing:
                await stack.enter_async_context(self._scene.publishing(traffic.where, traffic.organisation))
            await self._one(Cell(traffic.where, traffic.name, traffic.era, traffic.conc), traffic, endpoint, number)
        if traffic.direct:
            cell = Cell(DIRECT, traffic.name, traffic.era, traffic.conc)
            await self._one(cell, traffic, Endpoint(upstream.url, 0), number)

    async def _one(self, cell: Cell, traffic: Traffic, endpoint: Endpoint, number: int) -> None:
        if len(self._run.of(cell)) > number:
            return
        upstream = self._scene.upstream_of(traffic.organisation).pid
        known = median(self._run.of(cell), "calls_per_s")
        length = Length.for_rate(cell.conc, known, self._options.secs)
        noise = Noise(1) if traffic.publishing else self._noise  # who publishes is a disturbance that is meant
        taken = await sample(cell, endpoint, upstream, length, noise, self._shape(traffic))
        taken.round = number
        self._run.samples.append(taken)
        self._store.save(self._run)
        wrongs = f"  {taken.errors} WRONG: {taken.wrong[:1]}" if taken.errors else ""
        print(
            f"{cell.kind:<44} {cell.gateway:<23} {taken.calls_per_s:>9,.0f}/s  p50 {taken.p50_ms:>8.2f} ms{wrongs}",
            file=sys.stderr,
            flush=True,
        )

    def _shape(self, traffic: Traffic) -> Shape:
        if not traffic.half:
            return traffic.shape
        full = TRAFFIC[TRAFFIC.index(traffic) - 1]
        reached = median(self._run.of(Cell(full.where, full.name, full.era, full.conc)), "calls_per_s")
        if not reached:
            raise ValueError(f"{traffic.name!r} needs {full.name!r} in the same run")
        return replace(traffic.shape, rate=reached / 2)


def table(run: Run, traffic: Sequence[Traffic] = TRAFFIC) -> str:
    """Markdown."""
    lines = ["| traffic | in flight | calls/s | p50 ms | p99 ms | CPU us per call | direct p50 ms | wrong |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for one in traffic:
        taken = run.of(Cell(one.where, one.name, one.era, one.conc))
        direct = median(run.of(Cell(DIRECT, one.name, one.era, one.conc)), "p50_ms")
        if not taken:
            continue
        rate, p50, p99, cpu = (median(taken, field) for field in ("calls_per_s", "p50_ms", "p99_ms", "cpu_us"))
        wrongs = sum(sample.errors for sample in taken)
        beside = f"{direct:,.2f}" if direct else ""
        lines.append(
            f"| {one.name} | {one.conc:,} | {rate:,.0f} | {p50:,.2f} | {p99:,.2f} | {cpu:,.0f} | {beside} | {wrongs} |"
        )
    return "\n".join([*lines, "", *run.notes]) + "\n"


def wanted(only: str) -> list[Traffic]:
    """The lines whose name contains one of the words."""
    words = [word.lower() for word in only.split(",") if word]
    return [one for one in TRAFFIC if not words or any(word in one.name.lower() for word in words)]


async def measure(options: argparse.Namespace, say: Callable[[str], None]) -> Run:
    """All lines, all rounds."""
    store = Store(Path(options.out) / "shapes.json")
    shown: Mapping[str, str] = {name: str(getattr(options, name)) for name in ("secs", "rounds", "only")}
    fresh = Run(machine(), revision(ROOT), dict(shown), datetime.now(UTC).isoformat(timespec="seconds"))
    run = fresh if options.fresh else store.resumed(fresh)
    run.gateways = {name: Gateway(name, "") for name in (CALLBOARD, CROWDED, TWICE, DIRECT)}
    with tempfile.TemporaryDirectory(prefix="cb-bench-") as name:
        async with contextlib.AsyncExitStack() as stack:
            scene = Scene(Path(name), stack, say)
            lines = Lines(run, scene, options, store)
            for number in range(options.rounds):
                for one in wanted(options.only):
                    await lines.take(one, number)
    run.finished = True
    store.save(run)
    return run


def main(options: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Print the table and write it; the exit code is 1 when an answer was wrong."""
    run = asyncio.run(measure(options, say))
    (Path(options.out) / "shapes.md").write_text(table(run))
    print(table(run))
    sys.exit(1 if any(taken.errors for taken in run.samples) else 0)
