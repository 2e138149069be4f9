"""One upstream server as this worker sees it: its session, its health, when it is tried again.

Above: `calls` (takes the session), `discovery` (keeps it known), `entry`. Below: `sessions.open`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Literal

import msgspec
import structlog

from callboard.contracts.definitions import Catalogue
from callboard.contracts.problems import Problem
from callboard.contracts.status import ServerStatus
from callboard.kernel.param_headers import header_maps
from callboard_connectors.discovery.domain import quarantined
from callboard_connectors.registry.domain import ServerKey, Wanted
from callboard_connectors.sessions.domain import (
    HTTP_BREAKER,
    PIPE_BREAKER,
    Breaker,
    Mirror,
    SessionKey,
    expected_transport,
)
from callboard_connectors.sessions.mirrors import Mirrors
from callboard_connectors.sessions.open import SessionOpener
from callboard_connectors.sessions.personal import Personal
from callboard_connectors.sessions.session import Session

log = structlog.get_logger()
State = Literal["ONLINE", "OFFLINE", "DEGRADED", "UNKNOWN"]

_STABLE_SECONDS = 10.0
_RETIRE_SECONDS = 30.0


class Upstream:
    """A registered server. `live` is the session when calls may go out, else None: see `session`."""

    def __init__(
        self, key: ServerKey, wanted: Wanted, opener: SessionOpener, clock: Callable[[], float], subject: str = ""
    ) -> None:
        self.key = key
        self.subject = subject
        self.wanted = wanted
        self._opener = opener
        self._clock = clock
        self.live: Session | None = None
        self.in_flight = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self.restarts = 0
        self.problem = ""
        self.discovery_problem = ""
        self.listed = False
        self.tools = 0
        self.quarantined: dict[str, str] = {}
        self.owner = False
        self.generation = 0
        self.moved = asyncio.Event()  # something about the session changed; whoever waits clears it
        self.transport = expected_transport(wanted.definition)
        self._breaker: Breaker = HTTP_BREAKER if self.transport == "http" else PIPE_BREAKER
        self.era = ""
        self._since = 0.0
        self._held: Session | None = None
        self._connecting: asyncio.Task[Session] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._closed = False
        self.mirrors = Mirrors(self._open_mirror)
        oauth = wanted.definition.oauth
        own = oauth is not None and oauth.credentials == "per_user" and not subject
        self.personal = Personal(self, self._of_caller) if own else None

    # -------------------------------------------------------------------------------------- session

    async def session(self) -> Session:
        """The session, connecting when there is none. All who ask meanwhile share one attempt.

        Raises `Problem` at once while the breaker is open.
        """
        if self.live is not None:
            return self.live
        if self._probing is not None or self._closed:
            raise self._unavailable()
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(_looked_at)
        connecting = self._connecting
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            if connecting.cancelled():  # not we: the server was retired, or moved to another worker
                raise self._unavailable() from None
            raise

    def _of_caller(self, client: str) -> Upstream:
        return Upstream(self.key, self.wanted, self._opener, self._clock, client)

    async def renew(self, lost: Session) -> Session:
        """A session in place of one that the server no longer knows; once for all who lost the same one.

        A connection that still stands is its own session, and is kept.
        """
        if self.live is lost and not lost.tells_its_end:
            self._drop(lost)
        return await self.session()

    async def _connect(self) -> Session:
        try:
            await asyncio.sleep(self._breaker.pause(self._clock()))
            session = await self._open()
        except Problem as problem:
            if problem.code == "server.sign_in_needed":
                self.problem = problem.message  # it is there: nobody has to wait until it is tried again
            else:
                self.failed(problem.message)
            raise
        finally:
            self._connecting = None
        return session

    async def _open(self) -> Session:
        key = SessionKey(self.key.organisation, self.key.server, subject=self.subject)
        session = await self._opener.open(key, self.wanted.definition, self.era)
        if self._closed:
            await session.close()
            raise self._unavailable()
        if self._held is not None and self._held is not session:
            self._retire(self._held)
        self._held = self.live = session
        self._since = self._clock()
        self.era, self.transport = session.opening.era, session.transport
        self.problem = ""
        if session.tells_its_end:
            # A connection proves itself by staying.
            self._breaker = self._breaker.under(PIPE_BREAKER)
        else:
            # A server that answers is there.
            self._breaker = self._breaker.under(HTTP_BREAKER).succeeded()
        session.on_end(lambda reason: self._ended(session, reason))
        self.moved.set()
        log.info("upstream_connected", server=str(self.key), era=self.era)
        return session

    async def _open_mirror(self, name: str, mirror: Mirror) -> Session:
        key = SessionKey(self.key.organisation, self.key.server, name, self.subject)
        return await self._opener.open(key, self.wanted.definition, self.era, mirror)

    def _ended(self, session: Session, reason: str) -> None:
        if self._held is not session or self._closed:
            return
        if self._clock() - self._since >= _STABLE_SECONDS:
            self._breaker = self._breaker.succeeded()
        self.restarts += 1
        self._drop(session)
        self.failed(f"server {self.key.server!r} is not available: {reason}")

    def _drop(self, session: Session) -> None:
        if self._held is session:
            self._held = self.live = None
            self._retire(session)
            self.moved.set()

    def _retire(self, session: Session) -> None:
        self._later(self._retired(session))

    async def _retired(self, session: Session) -> None:
        """Close a session when the calls that may still use it are done; a connection that is lost has none."""
        if not session.tells_its_end:
            await self.quiet(_RETIRE_SECONDS)
        await session.close()

    # ---------------------------------------------------------------------------------------- calls

    def enter(self) -> None:
        """A call begins."""
        if not self.in_flight:
            self.idle.clear()
        self.in_flight += 1

    def leave(self) -> None:
        """A call ended."""
        self.in_flight -= 1
        if not self.in_flight:
            self.idle.set()

    async def quiet(self, within: float) -> None:
        """Wait until no call is in flight, at most this long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.idle.wait(), within)

    # --------------------------------------------------------------------------------------- health

    def failed(self, reason: str) -> None:
        """A connection failure (a sentence that names the server); enough of them in a row open the breaker."""
        if self._closed or self._probing is not None:
            return  # it is known to be away: calls that fail only now do not make the pause longer
        self._breaker = self._breaker.failed(self._clock())
        self.problem = reason
        self.moved.set()
        if self._breaker.open:
            self.live = None
            if self._probing is None:
                log.warning("upstream_away", server=str(self.key), reason=reason, failures=self._breaker.failures)
                self._probing = asyncio.create_task(self._probe())

    def missed(self, reason: str) -> None:
        """A request got no answer. A connection that is lost counts once, whatever was in flight on it."""
        if self.transport == "http":
            self.failed(reason)

    def answered(self) -> None:
        """The server answered a call: what failed before does not count any more. A child has to live for that."""
        if self._breaker.failures and self.transport != "stdio" and self._probing is None:
            self._breaker = self._breaker.succeeded()
            self.problem = ""

    async def _probe(self) -> None:
        """Try alone, with pauses, until it works again; calls fail at once meanwhile."""
        try:
            while True:
                await asyncio.sleep(self._breaker.pause(self._clock()))
                try:
                    await self._open()
                except Problem as problem:
                    self._breaker = self._breaker.failed(self._clock())
                    self.problem = problem.message
                    continue
                return
        finally:
            self._probing = None

    def listed_as(self, catalogue: Catalogue) -> None:
        """The server was listed just now; its calls need not wait until the log has it."""
        self.discovery_problem, self.listed = "", True
        self.tools = sum(item.problem is None for item in catalogue.tools)
        self.quarantined = quarantined(catalogue)
        self.wanted = msgspec.structs.replace(self.wanted, header_maps=header_maps(catalogue.tools))

    def recorded(self, digest: str) -> None:
        """The log has this catalogue now, even if the event has not come back to us yet."""
        self.wanted = msgspec.structs.replace(self.wanted, catalogue_digest=digest)

    def pause(self) -> float:
        """Seconds until it is tried again."""
        return self._breaker.pause(self._clock())

    def _unavailable(self) -> Problem:
        name, wait = self.key.server, self.pause()
        if self._closed or not self.problem:
            return Problem("server.unavailable", f"server {name!r} was retired, reconfigured or moved", server=name)
        message = f"{self.problem}; it is tried again in {wait:.1f} s"
        return Problem("server.unavailable", message, server=name, retry_after_seconds=round(wait, 1))

    @property
    def state(self) -> State:
        """ONLINE, OFFLINE, DEGRADED (it answers, but cannot be listed), UNKNOWN (not tried by this worker yet)."""
        if self.live is None:
            return "OFFLINE" if self.problem else "UNKNOWN"
        if self.discovery_problem:
            return "DEGRADED"
        return "ONLINE" if self.listed or not self.owner else "UNKNOWN"

    def status(self) -> ServerStatus:
        """What `callboard status` shows."""
        return ServerStatus(
            organisation=self.key.organisation,
            server=self.key.server,
            state=self.state,
            transport=self.transport,
            era=self.era,
            owner=self.owner,
            in_flight=self.in_flight,
            restarts=self.restarts,
            tools=self.tools,
            quarantined=self.quarantined,
            problem=self.problem or self.discovery_problem,
            generation=self.generation,
        )

    # ------------------------------------------------------------------------------------------ end

    async def disconnect(self) -> None:
        """Let go of the session for now (the lease is lost); a later `session` connects again."""
        tasks = [task for task in (self._connecting, self._probing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.mirrors.close()
        if self.personal is not None:
            await self.personal.close()
        session, self._held, self.live = self._held, None, None
        self.problem = ""
        if session is not None:
            await session.close()

    async def close(self) -> None:
        """Let go for good."""
        self._closed = True
        self.idle.set()  # nobody waits for calls any more
        await self.disconnect()
        await asyncio.gather(*self._background, return_exceptions=True)

    def _later(self, work: asyncio._CoroutineLike[None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _looked_at(task: asyncio.Task[Session]) -> None:
    """Its failure was told to whoever waited; nobody may have."""
    if not task.cancelled():
        task.exception()
