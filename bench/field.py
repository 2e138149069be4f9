"""The gateways of a run: started one after the other, stopped unless it is their turn, and what each is at rest."""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.accounting import Meter, memory_by_name
from bench.measure import Noise
from bench.pausing import Turns
from bench.peers.install import NotInstalled, installed
from bench.peers.launch import NotStarted, wrong
from bench.peers.peer import UPSTREAM_PROCESS, Endpoint, Peer, Place, Upstream
from bench.samples import Gateway, Run

_ROOT = Path(__file__).resolve().parents[1]
_WARM_STARTS = 3
# Who is woken up may have hundreds of calls of its last sample still to do, some at four a second.
_AWAKE_SECONDS = 90.0
_ASK_SECONDS = 10.0
# The first call of a worker that is still starting beside the one that has answered already.
_FIRST_SECONDS = 45.0
_SETTLE_SECONDS = 0.2


def say(text: str) -> None:
    """Progress, for whoever watches."""
    print(text, file=sys.stderr, flush=True)


class Field:
    """The gateways that are running, and what is written about them."""

    def __init__(
        self, run: Run, folder: Path, upstream: Upstream, eras: Sequence[str], kinds: Sequence[str], turns: Turns
    ) -> None:
        self.run = run
        self.endpoints: dict[tuple[str, str], Endpoint] = {}
        self._able: dict[tuple[str, str], list[str]] = {}
        self.turns = turns
        self._folder = folder
        self._upstream = upstream
        self._eras = eras
        self._kinds = kinds

    async def enter(self, peer: Peer, stack: contextlib.AsyncExitStack) -> None:
        """Install and start a peer over every kind of upstream that it knows, and see whether it answers.

        Who was started before is stopped meanwhile.
        """
        about = Gateway(peer.name, peer.about, full=peer.full)
        self.run.gateways[peer.name] = about
        about.not_measured = dict(peer.lacks)
        about.version = peer.package.version if peer.package else ""
        waiting = peer.kinds()
        for kinds in waiting:
            wanted = tuple(kind for kind in kinds if kind in self._kinds)
            if not wanted:
                continue
            say(f"starting {peer.name} ({', '.join(wanted)})")
            self.turns.only(0)
            try:
                package = await asyncio.to_thread(installed, peer.package) if peer.package else self._folder
                place = Place(Path(tempfile.mkdtemp(dir=self._folder)), self._upstream, package)
                endpoints = await self._started(peer, place, wanted, about, stack)
            except (NotInstalled, NotStarted) as problem:
                if len(wanted) > 1:
                    waiting += [(kind,) for kind in wanted]
                else:
                    self._without(about, wanted[0], str(problem))
                continue
            for kind, endpoint in endpoints.items():
                await self._answers(peer, about, kind, endpoint)

    async def _started(
        self, peer: Peer, place: Place, kinds: Sequence[str], about: Gateway, stack: contextlib.AsyncExitStack
    ) -> dict[str, Endpoint]:
        """Started with an empty folder, and where it keeps something again and again; the last one goes on."""
        took = []
        for left in range(_WARM_STARTS if peer.keeps else 0, -1, -1):
            async with contextlib.AsyncExitStack() as own:
                began = time.monotonic()
                endpoints = await own.enter_async_context(peer.start(place, kinds))
                took.append(round(time.monotonic() - began, 2))
                if not left:
                    stack.push_async_exit(own.pop_all().__aexit__)
        for kind in kinds:
            about.cold_s[kind] = took[0]
            if took[1:]:
                about.warm_s[kind] = statistics.median(took[1:])
            about.commands[kind] = _command(place)
        return endpoints

    async def _answers(self, peer: Peer, about: Gateway, kind: str, endpoint: Endpoint) -> None:
        self.endpoints[peer.name, kind] = endpoint
        self._able[peer.name, kind] = []
        self.turns.join(endpoint.pid)
        for era in self._eras:
            if peer.why_not(kind, era) is None:
                if (why := await wrong(endpoint, era, _FIRST_SECONDS)) is None:
                    self._able[peer.name, kind].append(era)
                else:
                    self._without(about, f"{kind} {era}", why)

    @staticmethod
    def _without(about: Gateway, what: str, why: str) -> None:
        about.not_measured[what] = why
        say(f"  {about.name} is not measured over {what}: {why}")

    def able(self, peer: Peer, kind: str, era: str) -> bool:
        """Whether it runs and answers there."""
        return self.answers(peer.name, kind, era)

    def answers(self, name: str, kind: str, era: str) -> bool:
        """Whether it did when it was last asked."""
        return era in self._able.get((name, kind), ())

    async def turn(self, name: str, kind: str, era: str) -> bool:
        """All others are stopped, and this one answers: it may have to find its feet after it was stopped itself.

        Who does not is not asked again there.
        """
        if await awake(self.turns, self.endpoints[name, kind], era):
            return True
        why = f"no right answer for {_AWAKE_SECONDS:.0f} s after it had been stopped; what there is, is from before"
        self._able[name, kind].remove(era)
        self._without(self.run.gateways[name], f"{kind} {era}", why)
        return False

    async def rest(self, secs: float) -> None:
        """What each uses and holds when nothing is asked of it and the others are stopped."""
        for (name, kind), endpoint in self.endpoints.items():
            if endpoint.pid and (eras := self._able[name, kind]):
                about = self.run.gateways[name]
                if not await self.turn(name, kind, eras[0]):
                    continue
                await Noise(1).quiet(0.0)
                meter = Meter([endpoint.pid])
                await asyncio.sleep(secs)
                usage = meter.read()
                about.idle_cores[kind] = round(usage.total_s / usage.secs, 3)
                about.rest_mib[kind] = _held(endpoint)

    def remember_memory(self) -> None:
        """What each holds after the load, without the upstream where that is its child."""
        for (name, kind), endpoint in self.endpoints.items():
            if endpoint.pid:
                self.run.gateways[name].memory_mib[kind] = _held(endpoint)


async def awake(turns: Turns, endpoint: Endpoint, era: str) -> bool:
    """Stop all others, let this one go on, and wait until it answers; whether it does."""
    slept = turns.only(endpoint.pid)
    until = time.monotonic() + _AWAKE_SECONDS
    while await wrong(endpoint, era, _ASK_SECONDS) is not None:
        if time.monotonic() > until:
            return False
        await asyncio.sleep(_SETTLE_SECONDS)
    if slept:
        await asyncio.sleep(_SETTLE_SECONDS)
    return True


def _held(endpoint: Endpoint) -> float:
    """MiB (PSS), without the upstream."""
    held = memory_by_name([endpoint.pid])
    return round(sum(share.pss for process, share in held.items() if process != UPSTREAM_PROCESS), 1)


def _command(place: Place) -> str:
    """How it was started, with names for the folders."""
    file = place.folder / "command.txt"
    text = file.read_text() if file.exists() else ""
    if path := os.environ.get("PATH"):
        text = text.replace(path, "$PATH")
    folders = {place.folder: "$FOLDER", place.package: "$PACKAGE", _ROOT: "$CHECKOUT", Path.home(): "~"}
    for folder, name in folders.items():
        text = text.replace(str(folder), name)
    return text.replace(place.upstream.url, "$UPSTREAM")
