"""A session with a child over stdin and stdout: many requests in flight, told apart by their ids."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable

import msgspec

from callboard_connectors.sessions.domain import Opening
from callboard_connectors.sessions.negotiate import OWN_META
from callboard_connectors.sessions.session import UNHEARD, Listener, Outgoing, Watcher, subscription, tell
from callboard_connectors.transports import envelope as rpc
from callboard_connectors.transports.child import Child
from callboard_connectors.transports.envelope import Envelope, RpcRefused
from callboard_connectors.transports.failures import InvalidAnswer, TransportFailure
from callboard_connectors.transports.stdio import Chatter, StdioLink

_NOTIFICATIONS_HELD = 1024


class _Meta(msgspec.Struct):
    subscription: msgspec.Raw = msgspec.field(default=rpc.NOTHING, name="io.modelcontextprotocol/subscriptionId")


class _Belongs(msgspec.Struct):
    token: msgspec.Raw = msgspec.field(default=rpc.NOTHING, name="progressToken")
    meta: _Meta = msgspec.field(default_factory=_Meta, name="_meta")


_belongs = msgspec.json.Decoder(_Belongs).decode


class _Waiting:
    """One request in flight: what came for it, in order."""

    __slots__ = ("inbox", "listener")

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.inbox: asyncio.Queue[tuple[Envelope, bytes] | TransportFailure | InvalidAnswer] = asyncio.Queue()


class StdioSession:
    """The one session of a child."""

    opening: Opening

    def __init__(self, child: Child, limit: int, out: Chatter, err: Chatter, *, mirrored: bool = False) -> None:
        self.child = child
        self._mirrored = mirrored
        self._replies: set[asyncio.Task[None]] = set()
        self._out = out
        self._link = StdioLink(child, self._line, limit, err)
        self._ids = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._watcher: Watcher | None = None
        self._ended: list[Callable[[str], None]] = []
        self._watch: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect the pipes and watch for the end."""
        await self._link.open()
        self._watch = asyncio.create_task(self._watch_end())

    def next_id(self) -> int:
        """A request id that this session has not used."""
        return next(self._ids)

    def on_end(self, callback: Callable[[str], None]) -> None:
        """Call this with the reason when the child is gone."""
        self._ended.append(callback)

    def adopt(self, opening: Opening) -> None:
        """The era is agreed."""
        self.opening = opening

    async def _watch_end(self) -> None:
        await self.child.ended.wait()
        # Give way once, so that answers that are still in the pipe are taken first.
        await asyncio.sleep(0)
        reason = self._link.reason()
        for waiting in self._waiting.values():
            waiting.inbox.put_nowait(TransportFailure(reason, sent=True))
        for callback in self._ended:
            callback(reason)

    # ------------------------------------------------------------------------------------- requests

    async def call(self, outgoing: Outgoing, listener: Listener) -> Envelope:
        """Send once and wait for the answer; see `Session.call`."""
        waiting = self._waiting[outgoing.id] = _Waiting(listener)
        sent = False
        try:
            await self._link.write(outgoing.message)
            sent = True
            listener.written()
            while True:
                item = await waiting.inbox.get()
                if isinstance(item, TransportFailure | InvalidAnswer):
                    raise item
                found, raw = item
                if found.is_answer:
                    return found
                await listener.notified(found, raw)
        except asyncio.CancelledError:
            if sent:
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
        """A request; over stdio the version stands in the body only."""
        number = self.next_id()
        async with asyncio.timeout(within):
            answer = await self.call(Outgoing(number, method, rpc.request(number, method, params)), UNHEARD)
        if bytes(answer.error):
            raise RpcRefused(bytes(answer.error))
        return bytes(answer.result)

    async def tell_as(self, version: str, method: str) -> None:
        """A notification."""
        await self._link.write(rpc.notification(method))

    def _tell(self, message: bytes) -> None:
        with contextlib.suppress(TransportFailure):
            self._link.write_now(message)

    # -------------------------------------------------------------------------------- what comes in

    def _line(self, line: bytes) -> None:
        line = line.strip()
        if not line:
            return
        try:
            messages = list(rpc.messages_in(line))
        except msgspec.DecodeError as error:
            self._undecoded(line, error)
            return
        for found, raw in messages:
            if found.is_answer:
                self._answered(found, raw)
            elif not found.method:
                self._out.line(raw)
            elif bytes(found.id):
                self._asked(found)
            else:
                self._notified(found, raw)

    def _undecoded(self, line: bytes, error: msgspec.DecodeError) -> None:
        """Chatter, or an answer that somebody would wait for in vain."""
        number = rpc.answered_id(line)
        waiting = None if number is None else self._waiting.get(number)
        if waiting is None:
            self._out.line(line)
        else:
            waiting.inbox.put_nowait(InvalidAnswer(rpc.fault_of(error)))

    def _asked(self, found: Envelope) -> None:
        """A request of the server: in a mirrored session it is for the one client that there is."""
        waiting = next((each for each in self._waiting.values() if each.listener is not UNHEARD), None)
        if waiting is None or not self._mirrored or found.method == "ping":
            self._tell(rpc.reply_to_server(found))
            return
        task = asyncio.get_running_loop().create_task(self._replied(found, waiting.listener))
        self._replies.add(task)
        task.add_done_callback(self._replies.discard)

    async def _replied(self, found: Envelope, listener: Listener) -> None:
        outcome = await listener.asked(found)
        self._tell(rpc.reply_to_server(found) if outcome is None else rpc.reply_with(found, outcome))

    def _answered(self, found: Envelope, raw: bytes) -> None:
        try:
            number = int(bytes(found.id).strip(b'"'))
        except ValueError:
            self._out.line(raw)
            return
        waiting = self._waiting.get(number)
        if waiting is not None:  # else it was cancelled
            waiting.inbox.put_nowait((found, raw))

    def _notified(self, found: Envelope, raw: bytes) -> None:
        if self._watcher is not None and tell(self._watcher, found):
            return
        waiting = self._whose(found)
        if waiting is not None and waiting.inbox.qsize() < _NOTIFICATIONS_HELD:
            waiting.inbox.put_nowait((found, raw))

    def _whose(self, found: Envelope) -> _Waiting | None:
        """The request a notification belongs to: by its token or subscription, or because it is the only one.

        Otherwise nobody's: what a server says about one client's call must not reach another's.
        """
        try:
            belongs = _belongs(found.params) if bytes(found.params) else _Belongs()
            subscription = bytes(belongs.meta.subscription)
            if found.method == "notifications/progress" or subscription:
                return self._waiting.get(int((subscription or bytes(belongs.token)).strip(b'"')))
        except (msgspec.DecodeError, ValueError):
            return None
        callers = [waiting for waiting in self._waiting.values() if waiting.listener is not UNHEARD]
        return callers[0] if len(callers) == 1 else None

    # ------------------------------------------------------------------------------------ listening

    async def listen(self, watcher: Watcher, uris: frozenset[str]) -> bool:
        """Legacy servers just say it; modern ones want to be asked, and keep that request open."""
        self._watcher = watcher
        if not self.opening.modern:
            await self.child.ended.wait()
            return True
        number = self.next_id()
        params = {"notifications": subscription(uris), "_meta": OWN_META}
        message = rpc.request(number, "subscriptions/listen", params)
        answer = await self.call(Outgoing(number, "subscriptions/listen", message), UNHEARD)
        return not bytes(answer.error)

    async def close(self) -> None:
        """Stop the child."""
        await self._link.close()
        if self._watch is not None:
            self._watch.cancel()
