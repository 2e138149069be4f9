"""A client on a connection of its own that carries everything: a WebSocket, or the stream of HTTP+SSE.

Above: the carriers (`web_socket.py`, `http_sse.py`), which read messages and hand them to `Connection.take`.
Below: the rules of the eras (`handshake.py`, `stateless.py`), which answer through a `RequestOutlet`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple, Protocol

import msgspec
import structlog

from callboard.contracts.access import Principal
from callboard.contracts.calls import HANDSHAKE_VERSIONS
from callboard.contracts.problems import Problem
from callboard_edge.health.metrics import Metrics
from callboard_edge.mcp.address import address, remember
from callboard_edge.mcp.answers import error_message, error_object, problem_object, result_message
from callboard_edge.mcp.calls import TOKEN_ENDED
from callboard_edge.mcp.envelope import INVALID_REQUEST, Message, Params, Refused
from callboard_edge.mcp.gate import Place, asker_of
from callboard_edge.mcp.handshake import Handshake
from callboard_edge.mcp.modern import UNSUPPORTED_VERSION, Fault, check_without_headers, is_modern
from callboard_edge.mcp.playbooks import Playbooks
from callboard_edge.mcp.sessions import Session
from callboard_edge.mcp.stateless import Stateless
from callboard_edge.mcp.streams import Streams, session_listener

log = structlog.get_logger()
MAX_IN_FLIGHT = 128
"""Requests of one connection that are not answered yet."""
DRAIN_SECONDS = 0.5
"""For requests that are under way when the edge stops."""
_HANDSHAKE_ONLY = {"supported": list(reversed(HANDSHAKE_VERSIONS))}
Admit = Callable[[], Awaitable[Principal]]
"""Looks at the token of the connection again; raises `Problem` when it is not good any more."""


class Carrier(Protocol):
    """How messages get to the client."""

    async def write(self, message: bytes) -> None:
        """One message; waits while the client is slow, and leaves out what comes after the end."""


class Ending(NamedTuple):
    """Why a connection ends: the close code of a WebSocket (RFC 6455 section 7.4) and its reason."""

    code: int
    reason: str


GONE = Ending(1001, "the client has gone")
NOT_ADMITTED = Ending(4401, TOKEN_ENDED)
RESTARTS = Ending(1012, "this gateway restarts; connect again")


class Rules(NamedTuple):
    """What a connection needs of the room."""

    handshake: Handshake
    stateless: Stateless
    streams: Streams
    playbooks: Playbooks
    metrics: Metrics


class _Cancelled(msgspec.Struct, rename="camel"):
    request_id: msgspec.Raw = msgspec.Raw(b"null")


_cancelled = msgspec.json.Decoder(_Cancelled).decode


class RequestOutlet:
    """What is said for one request of a connection."""

    __slots__ = ("_carrier", "_id")
    gives_up = True

    def __init__(self, id: bytes, carrier: Carrier) -> None:
        self._id = id
        self._carrier = carrier

    def resumes(self, call_id: str) -> bool:
        """What is said on a connection that broke is lost."""
        return False

    async def result(self, result: bytes) -> None:
        """The answer."""
        await self._carrier.write(result_message(self._id, result))

    async def error(self, error: bytes, problem: str = "") -> None:
        """The answer, when it is an error."""
        await self._carrier.write(error_message(self._id, error))

    async def say(self, message: bytes) -> None:
        """A notification, or a question of the server."""
        await self._carrier.write(message)

    async def idle(self) -> None:
        """The carrier has its own signs of life."""

    async def pause(self, retry: bytes) -> None:
        """The connection stays."""

    async def gone(self) -> None:
        """Never: the end of the connection cancels what serves its requests."""
        await asyncio.get_running_loop().create_future()


class Connection:
    """One client. `modern`: whether the carrier speaks the stateless era too."""

    def __init__(
        self, rules: Rules, id: str, place: Place, principal: Principal, admit: Admit, carrier: Carrier, *, modern: bool
    ) -> None:
        self.id = id
        self.place = place
        self.principal = principal
        self.admit = admit
        self.ended = asyncio.Event()
        self.ending = GONE
        self._rules = rules
        self._carrier = carrier
        self._modern = modern
        self._address = address()
        self._session: Session | None = None
        self._flights: dict[bytes, asyncio.Task[None]] = {}
        self._following: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._expiry: asyncio.TimerHandle | None = None
        if principal.expires_at is not None:
            left = principal.expires_at.timestamp() - time.time()
            self._expiry = asyncio.get_running_loop().call_later(max(left, 0), self.end, NOT_ADMITTED)

    async def take(self, message: Message, params: Params) -> None:
        """One message of the client. Raises `Refused` or `Problem` for what is not taken; a request runs by itself."""
        if message.is_request:
            self._begin(message, params)
        elif message.is_response:
            if self._session is not None:
                await self._rules.handshake.answered(self._session, self.principal, message)
        elif message.method == "notifications/cancelled":
            self._cancel(message)
        elif message.method == "notifications/initialized":
            await self._follow()

    def _begin(self, message: Message, params: Params) -> None:
        if self.ended.is_set():
            raise Problem("session.unknown", "this gateway restarts; the request was not taken")
        id = message.raw_id
        if id in self._flights:
            raise Refused(INVALID_REQUEST, f"a request with the id {id[:80].decode(errors='replace')} is under way")
        if len(self._flights) >= MAX_IN_FLIGHT:
            raise Problem("session.busy", f"{MAX_IN_FLIGHT} requests of this connection are under way")
        task = self._flights[id] = asyncio.create_task(self._serve(message, params))
        self._idle.clear()
        task.add_done_callback(lambda done: self._done(id, done))

    def _done(self, id: bytes, task: asyncio.Task[None]) -> None:
        if self._flights.get(id) is task:
            del self._flights[id]
        if not self._flights:
            self._idle.set()

    def _cancel(self, message: Message) -> None:
        """In both eras: nothing is answered any more (basic/utilities/cancellation), and the upstream is told."""
        try:
            task = self._flights.pop(bytes(_cancelled(message.params).request_id), None)
        except msgspec.ValidationError:
            return
        if task is not None:
            task.cancel()

    async def _serve(self, message: Message, params: Params) -> None:
        # What was posted may have come over the bus; the client is where its stream is.
        remember(self._address)
        outlet = RequestOutlet(message.raw_id, self._carrier)
        try:
            await self._answer(message, params, outlet)
        except Refused as refused:
            await outlet.error(error_object(refused.code, refused.message))
        except Fault as fault:
            await outlet.error(error_object(fault.code, fault.message, fault.data))
        except Problem as problem:
            await outlet.error(problem_object(problem))
        except Exception:
            log.exception("mcp_request_failed", path="/".join(self.place[:2]))
            self._rules.metrics.unexpected()
            await outlet.error(problem_object(Problem("internal.unexpected", "something went wrong")))

    async def _answer(self, message: Message, params: Params, outlet: RequestOutlet) -> None:
        rules = self._rules
        if is_modern(None, params):
            if not self._modern:
                text = "this transport is of the revisions that begin with initialize"
                raise Fault(UNSUPPORTED_VERSION, text, _HANDSHAKE_ONLY)
            check_without_headers(params)
            await rules.stateless.request(self.place, self.principal, message, params, None, outlet)
        elif message.method == "initialize":
            session, result = await rules.handshake.begin(self.place, self.principal, message)
            self._session = msgspec.structs.replace(session, id=self.id)
            await outlet.result(result)
        elif self._session is None:
            raise Refused(INVALID_REQUEST, "begin with initialize", message.raw_id)
        else:
            keep, session = self._keep, self._session
            await rules.handshake.request(self.place, session, self.principal, message, params, outlet, keep)

    async def _keep(self, session: Session) -> None:
        self._session = session
        self._rules.streams.session_changed(session)

    async def _follow(self) -> None:
        """From now on the client hears of what changes; of what has changed since it began, at once."""
        if self._session is None or self.ended.is_set():
            return
        if self._following is not None:
            self._following.cancel()
        asker = asker_of(self.principal, self._session.id)
        opened = await self._rules.playbooks.open(self.place, asker)
        listener = session_listener(self.place, asker, self._session, opened)
        outlet = RequestOutlet(b"null", self._carrier)
        self._following = asyncio.create_task(self._rules.streams.follow(listener, outlet))

    def end(self, ending: Ending) -> None:
        """From now on nothing is taken; the carrier closes. The first reason stays."""
        if not self.ended.is_set():
            self.ending = ending
            self.ended.set()

    async def stop(self) -> None:
        """Cancel what is under way, here and at the upstreams; at a restart it gets a moment to end."""
        if self._expiry is not None:
            self._expiry.cancel()
        if self.ending is RESTARTS:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), DRAIN_SECONDS)
        tasks = [*self._flights.values(), *([self._following] if self._following is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
