"""A session over one pipe: many requests in flight, told apart by their ids; it ends when its pipe does.

Above: `calls`, `discovery`. Below: the pipes, `transports.stdio`, `transports.sse_link` and `transports.websocket`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import msgspec

from callboard_connectors.sessions.domain import Opening
from callboard_connectors.sessions.negotiate import OWN_META
from callboard_connectors.sessions.session import UNHEARD, Listener, Outgoing, Watcher, subscription, tell
from callboard_connectors.transports import envelope as rpc
from callboard_connectors.transports.envelope import Envelope, RpcRefused
from callboard_connectors.transports.failures import InvalidAnswer, SessionUnknown, StatusRefused, TransportFailure

_NOTIFICATIONS_HELD = 20_000
_BYTES_HELD = 128 * 1024 * 1024  # of notifications of one request
_BESIDES_HELD = 256  # answers to the server and cancellations that are not written yet


class _Meta(msgspec.Struct):
    subscription: msgspec.Raw = msgspec.field(default=rpc.NOTHING, name="io.modelcontextprotocol/subscriptionId")


class _Belongs(msgspec.Struct):
    token: msgspec.Raw = msgspec.field(default=rpc.NOTHING, name="progressToken")
    meta: _Meta = msgspec.field(default_factory=_Meta, name="_meta")


_belongs = msgspec.json.Decoder(_Belongs).decode


class Pipe(Protocol):
    """What carries whole messages both ways, in order."""

    transport: str

    async def open(self, take: Callable[[bytes], None], ended: Callable[[str], None]) -> None:
        """Connect. Every message that comes is given to `take`; `ended` is told once why no more come."""

    async def write(self, message: bytes, written: Callable[[], None]) -> None:
        """Write one message, when the other side takes it; `written` is called before it can arrive there.

        Raises `TransportFailure`, and what else tells that the message was refused.
        """

    def foreign(self, message: bytes) -> None:
        """What came is not JSON-RPC."""

    async def close(self) -> None:
        """Let go of it."""


_Came = tuple[Envelope, bytes] | TransportFailure | InvalidAnswer
_FAULTS = (TransportFailure, InvalidAnswer)


class _Waiting:
    """One request in flight: what came for it, in order."""

    __slots__ = ("_inbox", "_woken", "held", "listener", "sent")

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.sent = False
        self.held = 0
        self._inbox: deque[_Came] = deque()
        self._woken: asyncio.Future[None] | None = None

    def came(self, item: _Came) -> None:
        """Keep it until it is its turn."""
        self._inbox.append(item)
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    async def next(self) -> tuple[Envelope, bytes]:
        """What came next; waits for it. Raises what will come in place of an answer."""
        if not self._inbox:
            self._woken = asyncio.get_running_loop().create_future()
            await self._woken
        item = self._inbox.popleft()
        if isinstance(item, _FAULTS):
            raise item
        return item

    def written(self) -> None:
        self.sent = True
        self.listener.written()

    def notified(self, found: Envelope, raw: bytes) -> None:
        """Keep a notification until it is its turn. The pipe does not wait: it is there for other calls too."""
        if len(self._inbox) >= _NOTIFICATIONS_HELD or self.held > _BYTES_HELD:
            self.listener.flooded()
            return
        self.held += len(raw)
        self.came((found, raw))


class PipeSession:
    """The one session of a pipe. A `mirrored` one speaks for one client, which gets the server's requests."""

    opening: Opening
    tells_its_end = True

    def __init__(self, pipe: Pipe, *, mirrored: bool = False) -> None:
        self.transport = pipe.transport
        self.log_level = ""
        self._pipe = pipe
        self._mirrored = mirrored
        self._ids = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._watcher: Watcher | None = None
        self._besides: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._why_over = ""
        self._on_end: list[Callable[[str], None]] = []

    async def open(self) -> None:
        """Connect the pipe."""
        await self._pipe.open(self._take, self._end)

    def next_id(self) -> int:
        """A request id that this session has not used."""
        return next(self._ids)

    def on_end(self, callback: Callable[[str], None]) -> None:
        """Call this with the reason when the pipe has ended."""
        if self._over.is_set():
            asyncio.get_running_loop().call_soon(callback, self._why_over)
        else:
            self._on_end.append(callback)

    def adopt(self, opening: Opening) -> None:
        """The era is agreed."""
        self.opening = opening

    def _end(self, reason: str) -> None:
        """There will be no more answers: nobody knows what became of the requests in flight."""
        if self._over.is_set():
            return
        self._why_over = reason
        self._over.set()
        for waiting in self._waiting.values():
            waiting.came(TransportFailure(reason, sent=True))
        for callback in self._on_end:
            callback(reason)

    # ------------------------------------------------------------------------------------- requests

    async def call(self, outgoing: Outgoing, listener: Listener) -> Envelope:
        """Send once and wait for the answer; see `Session.call`."""
        if self._over.is_set():
            raise TransportFailure(self._why_over, sent=False)
        waiting = self._waiting[outgoing.id] = _Waiting(listener)
        try:
            await self._pipe.write(outgoing.message, waiting.written)
            while True:
                found, raw = await waiting.next()
                if found.is_answer:
                    return found
                waiting.held -= len(raw)
                await listener.notified(found, raw)
        except asyncio.CancelledError:
            if waiting.sent:
                self._tell(rpc.notification("notifications/cancelled", {"requestId": outgoing.id}))
            raise
        finally:
            self._waiting.pop(outgoing.id, None)

    async def ask(self, method: str, params: dict[str, object], within: float) -> bytes:
        """A request of our own; see `Session.ask`."""
        if self.opening.modern:
            params = {**params, "_meta": OWN_META}
        return await self.ask_as(self.opening.era, method, params, within)

    async def ask_as(self, version: str, method: str, params: dict[str, object], within: float) -> bytes:
        """A request; over a pipe the version stands in the body only."""
        number = self.next_id()
        async with asyncio.timeout(within):
            answer = await self.call(Outgoing(number, method, rpc.request(number, method, params)), UNHEARD)
        if bytes(answer.error):
            raise RpcRefused(bytes(answer.error))
        return bytes(answer.result)

    async def tell_as(self, version: str, method: str) -> None:
        """A notification."""
        await self._pipe.write(rpc.notification(method), UNHEARD.written)

    def _tell(self, message: bytes) -> None:
        """Write something that nobody waits for."""
        self._beside(self._told(message))

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._besides) >= _BESIDES_HELD or self._over.is_set():
            work.close()  # a server that asks without end, and does not read the answers
            return
        task = asyncio.get_running_loop().create_task(work)
        self._besides.add(task)
        task.add_done_callback(self._besides.discard)

    async def _told(self, message: bytes) -> None:
        with contextlib.suppress(TransportFailure, StatusRefused, SessionUnknown):
            await self._pipe.write(message, UNHEARD.written)

    # -------------------------------------------------------------------------------- what comes in

    def _take(self, message: bytes) -> None:
        message = message.strip()
        if not message:
            return
        try:
            messages = tuple(rpc.messages_in(message))
        except msgspec.DecodeError as error:
            self._undecoded(message, error)
            return
        for found, raw in messages:
            if found.is_answer:
                self._answered(found, raw)
            elif not found.method:
                self._pipe.foreign(raw)
            elif bytes(found.id):
                self._asked(found)
            else:
                self._notified(found, raw)

    def _undecoded(self, line: bytes, error: msgspec.DecodeError) -> None:
        """Chatter, or an answer that somebody would wait for in vain."""
        number = rpc.answered_id(line)
        waiting = None if number is None else self._waiting.get(number)
        if waiting is None:
            self._pipe.foreign(line)
        else:
            waiting.came(InvalidAnswer(rpc.fault_of(error)))

    def _asked(self, found: Envelope) -> None:
        """A request of the server: in a mirrored session it is for the one client that there is."""
        waiting = next((each for each in self._waiting.values() if each.listener is not UNHEARD), None)
        if waiting is None or not self._mirrored or found.method == "ping":
            self._tell(rpc.reply_to_server(found))
        else:
            self._beside(self._replied(found, waiting.listener))

    async def _replied(self, found: Envelope, listener: Listener) -> None:
        outcome = await listener.asked(found)
        await self._told(rpc.reply_to_server(found) if outcome is None else rpc.reply_with(found, outcome))

    def _answered(self, found: Envelope, raw: bytes) -> None:
        try:
            number = int(bytes(found.id).strip(b'"'))
        except ValueError:
            return  # an answer to something that was never asked
        waiting = self._waiting.get(number)
        if waiting is not None:  # else it was cancelled
            waiting.came((found, raw))

    def _notified(self, found: Envelope, raw: bytes) -> None:
        if self._watcher is not None and tell(self._watcher, found):
            return
        waiting = self._whose(found)
        if waiting is not None:
            waiting.notified(found, raw)

    def _whose(self, found: Envelope) -> _Waiting | None:
        """The request a notification belongs to: by its token or subscription, or because it is the only one.

        Otherwise nobody's: what a server says about one client's call must not reach another's.
        """
        try:
            belongs = _belongs(found.params) if bytes(found.params) else _Belongs()
        except msgspec.DecodeError:
            belongs = _Belongs()  # its `_meta` is no object, say: then it names no request
        subscription = bytes(belongs.meta.subscription)
        if found.method == "notifications/progress" or subscription:
            try:
                return self._waiting.get(int((subscription or bytes(belongs.token)).strip(b'"')))
            except ValueError:
                return None
        callers = [waiting for waiting in self._waiting.values() if waiting.listener is not UNHEARD]
        return callers[0] if len(callers) == 1 else None

    # ------------------------------------------------------------------------------------ listening

    async def listen(self, watcher: Watcher, uris: frozenset[str]) -> bool:
        """Legacy servers just say it; modern ones want to be asked, and keep that request open."""
        self._watcher = watcher
        # What is asked after this is answered after this: the stream of a modern server is open once it was asked for.
        watcher.opened()
        if not self.opening.modern:
            await self._over.wait()
            return True
        number = self.next_id()
        params = {"notifications": subscription(uris), "_meta": OWN_META}
        message = rpc.request(number, "subscriptions/listen", params)
        answer = await self.call(Outgoing(number, "subscriptions/listen", message), UNHEARD)
        return not bytes(answer.error)

    async def close(self) -> None:
        """Let go of the pipe; what still waits for an answer will not get one."""
        for task in tuple(self._besides):
            task.cancel()
        await self._pipe.close()
        self._end("it was disconnected")
