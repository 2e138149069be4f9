"""What the owner of a server does all day: stay connected, list it, hear about changes, tell the router."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from callboard.contracts.definitions import Catalogue
from callboard.contracts.problems import Problem
from callboard.platform.room import cancel_all
from callboard_connectors.discovery.discover import Discovery
from callboard_connectors.discovery.domain import digest_of_catalogue
from callboard_connectors.discovery.interest import Interest
from callboard_connectors.registry.domain import ServerKey
from callboard_connectors.sessions.open import FAILURES, problem_of
from callboard_connectors.sessions.session import Session
from callboard_connectors.sessions.upstream import Upstream
from callboard_connectors.transports.envelope import Envelope
from callboard_connectors.transports.failures import InvalidAnswer, SessionUnknown, StatusRefused, TransportFailure

log = structlog.get_logger()

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 15.0
_LISTEN_PAUSE = 1.0
_GATHER_SECONDS = 0.02
_OPEN_SECONDS = 0.5
_SUBSCRIBE_SECONDS = 5.0
_WATCH_SECONDS = 2.0
_TURN_SECONDS = 1.0
"""Seconds after which no further subscription is begun before others had their turn."""
_MAX_ASKING = 1000
"""Who asked before as many others has long given up."""

Heard = Callable[[], Awaitable[None]]
"""Tells one asker that no change of what it watches is missed from now on."""


class Recorder(Protocol):
    """Who puts a catalogue into the log."""

    async def record(self, key: ServerKey, digest: str, catalogue: Catalogue, command_id: str) -> None:
        """Returns when it is recorded; raises `Problem`."""

    def new_id(self) -> str:
        """An id for a command."""

    async def updated(self, key: ServerKey, uri: str) -> None:
        """Tell the edges that a resource is another one."""


class Keeper:
    """Keeps one upstream known. `run` until cancelled."""

    def __init__(self, upstream: Upstream, recorder: Recorder, poll_seconds: float, interest: Interest) -> None:
        self._upstream = upstream
        self._recorder = recorder
        self._poll_seconds = poll_seconds
        self._discovery = Discovery()
        self._changed = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self._open = asyncio.Event()
        self._heard: Session | None = None
        self._interest = interest
        self._subscribed: set[str] = set()
        self._telling: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._asking: deque[Heard] = deque(maxlen=_MAX_ASKING)
        self._watching: asyncio.Task[None] | None = None
        self._due = False
        self._began = 0.0
        self._silent: Session | None = None

    async def run(self) -> None:
        """Connect, look, wait; again and again."""
        pause = _FIRST_PAUSE
        try:
            while True:
                try:
                    good = await self._round()
                except Exception:
                    # A fault of ours in one round must not end the keeping of the server.
                    log.exception("discovery_failed", server=str(self._upstream.key))
                    good = False
                if good:
                    pause = _FIRST_PAUSE
                    await self._wait(self._poll_seconds)
                else:
                    await self._wait(max(pause, self._upstream.pause()))
                    pause = min(pause * 2, _LONGEST_PAUSE)
        finally:
            await cancel_all(self._watching, self._listening)

    async def _wait(self, seconds: float) -> None:
        """Until something changed, here or there, or the time is over."""
        upstream = self._upstream
        waits = [asyncio.ensure_future(self._changed.wait()), asyncio.ensure_future(upstream.moved.wait())]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        upstream.moved.clear()
        if self._changed.is_set():
            # Servers announce changes one by one; a moment later they are listed at once.
            await asyncio.sleep(_GATHER_SECONDS)
        self._changed.clear()

    async def _round(self) -> bool:
        """Whether the server is connected and its catalogue recorded."""
        upstream = self._upstream
        try:
            session = await upstream.session()
        except Problem:
            upstream.moved.clear()
            return False
        upstream.moved.clear()
        # Listen before looking, so that no change falls between the two; not for long, since many never open a stream.
        if self._heard is session:
            self.watch()  # beside this: nobody has to wait here for what agents subscribe to
        else:
            await self._tell(session)
        if await self._until_open(_OPEN_SECONDS):
            self._changed.clear()
        try:
            catalogue = await self._discovery.look(session)
        except FAILURES as error:
            await self._failed(session, error)
            return False
        upstream.listed_as(catalogue)
        return await self._record(catalogue)

    async def _failed(self, session: Session, error: Exception) -> None:
        problem = problem_of(self._upstream.key.server, error)
        self._upstream.discovery_problem = problem.message
        log.warning("not_listed", server=str(self._upstream.key), reason=problem.message)
        if isinstance(error, TransportFailure):
            self._upstream.missed(problem.message)
        elif isinstance(error, InvalidAnswer | StatusRefused | SessionUnknown):
            # It may have come back as something else: agree again before the next look.
            with contextlib.suppress(Problem):
                await self._upstream.renew(session)
        self._upstream.moved.clear()

    async def _record(self, catalogue: Catalogue) -> bool:
        """Tell the router when the log has another catalogue; True when the log has this one."""
        upstream = self._upstream
        digest = digest_of_catalogue(catalogue)
        if digest == upstream.wanted.catalogue_digest:
            return True
        try:
            await self._recorder.record(upstream.key, digest, catalogue, self._recorder.new_id())
        except Problem as problem:
            upstream.discovery_problem = f"its catalogue could not be recorded: {problem.message}"
            log.warning("catalogue_not_recorded", server=str(upstream.key), reason=problem.message)
            return False
        upstream.recorded(digest)
        return True

    # ------------------------------------------------------------------------------------ listening

    def opened(self) -> None:
        """Look again: what changed between the last look and now was said to nobody."""
        self._silent = None
        if self._open.is_set():
            return
        self._open.set()
        self._changed.set()

    def changed(self) -> None:
        """A list of the server is another one: look soon."""
        self._changed.set()

    def updated(self, uri: str) -> None:
        """A resource of the server is another one: tell who watches it."""
        task = asyncio.get_running_loop().create_task(self._recorder.updated(self._upstream.key, uri))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def told(self, envelope: Envelope) -> bool:
        """The keeper's session speaks for nobody, so nothing else on it is for anybody."""
        return False

    def watch(self, heard: Heard | None = None) -> None:
        """Agents somewhere watch resources, perhaps others than before; `heard` once nothing of them is missed.

        However many ask, one task answers them: whoever comes while a round is under way is answered by the next one.
        """
        self._due = True
        if heard is not None:
            self._asking.append(heard)
        if self._watching is None or self._watching.done():
            self._watching = asyncio.get_running_loop().create_task(self._watched())

    async def _watched(self) -> None:
        while self._due:
            # Agents subscribe to one thing after the other; a moment later the server is told at once.
            await asyncio.sleep(_GATHER_SECONDS)
            self._due = False
            asking = tuple(self._asking)
            self._asking.clear()
            try:
                await self._answer(asking)
            except Exception:
                # A fault of ours is not the end of it: the askers give up by themselves, and others come.
                log.exception("not_watched", server=str(self._upstream.key))

    async def _answer(self, asking: tuple[Heard, ...]) -> None:
        session = self._upstream.live
        if session is not None:
            if not await self._tell(session):
                self._asking.extendleft(reversed(asking[: _MAX_ASKING - len(self._asking)]))
                return
            await self._until_open(_WATCH_SECONDS)
        for heard in asking:
            await heard()

    async def _tell(self, session: Session) -> bool:
        """Tell the server what changed of what is of interest; False when there is more, for another turn."""
        # Whoever comes second may not go on before the server was told what the first one tells it.
        async with self._turn:
            if self._upstream.live is not session:
                return True  # the next one begins with everything
            wanted = self._interest.current(asyncio.get_running_loop().time())
            if self._heard is not session or (session.opening.modern and wanted != self._subscribed):
                self._begin(session, wanted)
            if session.opening.modern:
                return True
            await self._subscribe(session, wanted)
            if self._subscribed == wanted or self._upstream.live is not session:
                return True
        self.watch()
        return False

    def _begin(self, session: Session, wanted: frozenset[str]) -> None:
        """Begin a stream of changes. In the stateless era it is the subscription, so another one replaces it."""
        if self._listening is not None:
            self._listening.cancel()
        self._open = asyncio.Event()
        self._began = asyncio.get_running_loop().time()
        self._heard, self._subscribed = session, set(wanted if session.opening.modern else ())
        self._listening = asyncio.create_task(self._listened(session, wanted))

    async def _until_open(self, within: float) -> bool:
        """Wait for the stream of changes; whether it was opened meanwhile.

        A server that once let a stream wait in vain may never open one: with this session nobody waits again until it
        does.
        """
        if self._open.is_set():
            return False
        loop = asyncio.get_running_loop()
        ends = loop.time() + within
        while self._listening is not None and not self._open.is_set() and self._silent is not self._heard:
            listening, opening = self._listening, asyncio.ensure_future(self._open.wait())
            try:
                left = ends - loop.time()
                done, _ = await asyncio.wait([opening, listening], timeout=left, return_when=asyncio.FIRST_COMPLETED)
            finally:
                opening.cancel()
            if not done and loop.time() - self._began >= _WATCH_SECONDS:
                self._silent = self._heard
            if not done or listening is self._listening:
                break  # else it was replaced by another one meanwhile
        return self._open.is_set()

    async def _subscribe(self, session: Session, wanted: frozenset[str]) -> None:
        """Subscribe to what is new and unsubscribe from what is gone, in turns, for a while."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + _TURN_SECONDS
        more, less = sorted(wanted - self._subscribed), sorted(self._subscribed - wanted)
        for uri in itertools.chain.from_iterable(itertools.zip_longest(more, less)):
            if uri is None:
                continue
            method = "resources/subscribe" if uri in wanted else "resources/unsubscribe"
            try:
                await session.ask(method, {"uri": uri}, _SUBSCRIBE_SECONDS)
            except FAILURES as error:
                log.info("not_subscribed", server=str(self._upstream.key), reason=type(error).__name__)
            self._subscribed ^= {uri}
            if loop.time() >= ends or self._upstream.live is not session:
                return

    async def _listened(self, session: Session, uris: frozenset[str]) -> None:
        """Hold the server's stream of changes open; without one the slow poll has to do."""
        pause = _LISTEN_PAUSE
        while self._upstream.live is session:
            began = asyncio.get_running_loop().time()
            try:
                if not await session.listen(self, uris):
                    return
            except SessionUnknown:
                self._changed.set()  # the next look will find it out, and connect anew
                return
            except FAILURES:
                pass
            if asyncio.get_running_loop().time() - began > _LONGEST_PAUSE:
                pause = _LISTEN_PAUSE
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            # What changed while nobody listened is found by looking, now and once somebody listens again.
            self._open.clear()
            self._began = asyncio.get_running_loop().time()
            self._changed.set()
