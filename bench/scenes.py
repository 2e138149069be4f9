"""What `--shapes` is measured on: organisations of several sizes on Callboards, over upstreams with many tools."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.accounting import memory_by_name
from bench.caller import Plan, Requests
from bench.field import awake, say
from bench.pausing import Turns
from bench.peers.callboard import callboard_up
from bench.peers.launch import NotStarted, wrong
from bench.peers.peer import Endpoint, Upstream
from bench.upstream import echo_upstream
from callboard.client import Callboard
from callboard.kernel.playbook_file import parse
from tests.support.stack import Stack

CALLBOARD, TWICE, DIRECT = "Callboard", "Callboard, two of each", "direct"
CROWDED = "Callboard, crowded"
ORGANISATIONS = 1000
PUBLISHED = 10  # versions a second
_SERVERS, _OWN_TOOLS = 50, 7
_COPIES = (0, 3, 13, 193)
_AT_ONCE = 4
# By default a server has at most 512 calls in flight, and says that it is busy beyond that.
_MANY_IN_FLIGHT = {"CALLBOARD_CONNECTORS_BULKHEAD": "4096"}


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


def _described(organisation: str, url: str, number: int) -> dict[str, Any]:
    """The file with another description of a tool for each number."""
    content = content_of(organisation, lambda _: url)
    content["playbooks"]["bench"]["servers"]["s"]["tools"] = {"describe": {"fail": f"Fails, version {number}"}}
    return content


class Scene:
    """The upstreams and the Callboards that run; of the Callboards only one at a time."""

    def __init__(self, folder: Path, stack: contextlib.AsyncExitStack, turns: Turns, organisations: int) -> None:
        """`organisations` are on the crowded one."""
        self._folder = folder
        self._stack = stack
        self._turns = turns
        self._organisations = organisations
        self._upstreams: dict[int, Upstream] = {}
        self._callboards: dict[str, Stack] = {}
        self._endpoints: dict[tuple[str, str], Endpoint] = {}

    async def set_up(self, places: Iterable[tuple[str, str]]) -> None:
        """Everything that is needed, before anything is measured: which Callboard, which organisation."""
        for copies in _COPIES:
            folder = self._folder / f"echo-{copies}"
            folder.mkdir()
            started = echo_upstream(folder, "--tools", str(copies))
            self._upstreams[copies] = await self._stack.enter_async_context(started)
        wanted = list(dict.fromkeys(places))
        for at, (where, organisation) in enumerate(wanted):
            began = time.monotonic()
            say(f"setting up {at + 1} of {len(wanted)}: {where}, {organisation}")
            self._endpoints[where, organisation] = await self._set_up(where, organisation)
            say(f"  {time.monotonic() - began:.1f} s")

    def upstream_of(self, organisation: str) -> Upstream:
        """The one whose CPU is told apart; the others do nothing meanwhile."""
        count = int(organisation.removeprefix("tools")) if organisation.startswith("tools") else 0
        each = count // _SERVERS if count >= _SERVERS else count
        return self._upstreams[max(0, each - _OWN_TOOLS)]

    async def turn(self, where: str, organisation: str, era: str) -> Endpoint:
        """The playbook `bench` of an organisation; the other Callboards are stopped."""
        endpoint = self._endpoints[where, organisation]
        if not await awake(self._turns, endpoint, era):
            raise NotStarted(f"{where} does not answer after it was stopped")
        return endpoint

    def alone(self) -> None:
        """Stop all Callboards, for the direct path."""
        self._turns.only(0)

    @property
    def stopped(self) -> int:
        """How many processes are stopped."""
        return self._turns.stopped

    @contextlib.asynccontextmanager
    async def publishing(self, where: str, organisation: str) -> AsyncIterator[list[float]]:
        """So many versions a second, each with another description of a tool; yields the seconds that each took."""
        stack, url = self._callboards[where], self._upstreams[0].url
        took: list[float] = []
        done, numbers = asyncio.Event(), itertools.count()

        async def publish(callboard: Callboard) -> None:
            while not done.is_set():
                wanted, began = parse(json.dumps(_described(organisation, url, next(numbers)))), time.monotonic()
                files = (wanted.servers, wanted.playbooks)
                applied = await asyncio.to_thread(callboard.apply, organisation, *files, "under load")
                if applied.changed:
                    took.append(time.monotonic() - began)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(done.wait(), began + 1 / PUBLISHED - time.monotonic())

        with Callboard(stack.url, stack.admin_token) as callboard:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(publish(callboard))
                try:
                    yield took
                finally:
                    done.set()

    async def _set_up(self, where: str, organisation: str) -> Endpoint:
        if where not in self._callboards:
            self._turns.only(0)
            folder = self._folder / f"callboard-{len(self._callboards)}"
            folder.mkdir()
            started = callboard_up(folder, replicas=2 if where == TWICE else 1, settings=_MANY_IN_FLIGHT)
            self._callboards[where] = await self._stack.enter_async_context(started)
            self._turns.join(self._callboards[where].process.pid)
        stack = self._callboards[where]
        await asyncio.to_thread(self._apply, stack, [organisation])
        if where == CROWDED:
            await self._crowd(stack)
        header = f"Authorization: Bearer {await stack.token(organisation)}"
        tool = "s0__echo" if organisation.startswith("tools") else "echo"
        endpoint = Endpoint(stack.endpoint(organisation, "bench"), stack.process.pid, tool, (header,))
        if (why := await wrong(endpoint, "2026", grace=30.0)) is not None:
            raise NotStarted(f"{organisation}: {why}")
        return endpoint

    def _apply(self, stack: Stack, organisations: Iterable[str]) -> None:
        """As `callboard apply` does, through one connection."""
        with Callboard(stack.url, stack.admin_token) as callboard:
            for organisation in organisations:
                text = json.dumps(content_of(organisation, lambda copies: self._upstreams[copies].url))
                wanted = parse(text)
                callboard.create_organisation(organisation)
                callboard.apply(organisation, wanted.servers, wanted.playbooks, "benchmark")

    async def _crowd(self, stack: Stack) -> None:
        """Organisations that nobody calls, each with a server and a playbook of its own."""
        names = [f"other-{number}" for number in range(1, self._organisations)]
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            parts = (names[at::_AT_ONCE] for at in range(_AT_ONCE))
            await asyncio.gather(*(loop.run_in_executor(threads, self._apply, stack, part) for part in parts))


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
