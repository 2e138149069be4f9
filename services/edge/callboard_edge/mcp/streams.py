"""Long-lived event streams: the GET stream of the handshake era and `subscriptions/listen` of the stateless one."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from contextlib import suppress

import msgspec
import structlog

from callboard.contracts import subjects
from callboard.contracts.calls import LEGACY, RpcHead
from callboard.contracts.playbooks import Opened
from callboard.contracts.problems import Problem
from callboard.contracts.replays import StreamNews, TakeNews
from callboard.contracts.status import SessionTold, StreamOpened
from callboard.platform.bus import Bus
from callboard_edge.mcp.answers import Receive, Send, send_end
from callboard_edge.mcp.calls import Calls
from callboard_edge.mcp.envelope import Message, Refused
from callboard_edge.mcp.event_ids import EventId, holder_of, own_stream
from callboard_edge.mcp.gate import Asker, Place
from callboard_edge.mcp.kept_outlet import OwnOutlet
from callboard_edge.mcp.listener import Listener
from callboard_edge.mcp.outlet import Outlet
from callboard_edge.mcp.playbooks import Playbooks
from callboard_edge.mcp.relay import HttpOutlet
from callboard_edge.mcp.sessions import Session, Sessions
from callboard_edge.mcp.task_news import TaskNews
from callboard_edge.mcp.watching import Watching

log = structlog.get_logger()
HEARTBEAT = 15.0
LINGER = 120.0
"""Seconds for which a session's own stream is held after its connection broke, for the client to come back."""
MAX_LINGERING = 5000
KINDS = ("tools", "prompts", "resources")
MAX_WATCHED = 1000
_TAKE_SECONDS = 1.0


class _Filter(msgspec.Struct, rename="camel"):
    tools_list_changed: bool | None = None
    prompts_list_changed: bool | None = None
    resources_list_changed: bool | None = None
    resource_subscriptions: list[str] = []
    task_ids: list[str] = []


class _ListenParams(msgspec.Struct):
    notifications: _Filter
    meta: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"{}"), name="_meta")


_listen_params = msgspec.json.Decoder(_ListenParams).decode
_encode = msgspec.json.Encoder().encode


async def _until_over(outlet: Outlet, listener: Listener) -> None:
    """The client has gone, or its token has expired."""
    expires = listener.asker.expires
    with suppress(TimeoutError):
        async with asyncio.timeout(None if expires is None else max(expires - time.time(), 0)):
            await outlet.gone()
    listener.close()


def _notification(method: str, *members: bytes) -> bytes:
    params = b"{" + b",".join(member for member in members if member) + b"}"
    return b'{"jsonrpc":"2.0","method":"' + method.encode() + b'","params":' + params + b"}"


def session_listener(place: Place, asker: Asker, session: Session, opened: Opened) -> Listener:
    """What a handshake session listens to; what changed since it began is news at once."""
    listener = Listener(place, asker, frozenset(KINDS), session.etags or opened.etags, session.subscriptions)
    listener.offer(opened.etags)
    return listener


class Streams:
    """Serves the streams of this edge."""

    def __init__(
        self, bus: Bus, alias: str, calls: Calls, playbooks: Playbooks, sessions: Sessions, watching: Watching
    ) -> None:
        self._bus = bus
        self._alias = alias
        self._calls = calls
        self._playbooks = playbooks
        self._sessions = sessions
        self._watching = watching
        self._reads = itertools.count(1)
        self._settling: set[asyncio.Task[None]] = set()

    async def follow(self, listener: Listener, outlet: Outlet, meta: bytes = b"") -> None:
        """Say what changes, until the listener is closed, the client has gone or its token has expired."""
        watcher = asyncio.create_task(_until_over(outlet, listener))
        self._playbooks.listen(listener)
        try:
            while not listener.closed:
                news = await listener.news(HEARTBEAT)
                for kind in news.kinds:
                    listener.told(kind)
                    await outlet.say(_notification(f"notifications/{kind}/list_changed", meta))
                for uri in news.uris:
                    listener.told(uri)
                    body = _notification("notifications/resources/updated", b'"uri":' + _encode(uri), meta)
                    await outlet.say(body)
                for message in news.messages:
                    listener.told_message(message)
                    await outlet.say(message)
                if not any(news) and not listener.closed:
                    await outlet.idle()
        finally:
            self._playbooks.leave(listener)
            watcher.cancel()

    async def serve_get(
        self, place: Place, asker: Asker, session: Session, after: EventId | None, receive: Receive, send: Send
    ) -> None:
        """The GET stream of a session; what changed since the session began, or since an event, is told at once.

        A session has one, at whatever edge: the newest, because no message may be sent on two
        (MCP 2025-11-25, basic/transports).
        """
        opened = await self._playbooks.open(place, asker)
        listener = session_listener(place, asker, session, opened)
        if opened.divided:
            await self._playbooks.judge(listener)
        outlet = HttpOutlet(b"null", receive, send, modern=False)
        if session.protocol == LEGACY:
            listener.stream = own_stream(self._alias, os.urandom(8).hex())
            linger = LINGER if self._playbooks.streams < MAX_LINGERING else 0.0
            outlet = OwnOutlet(listener.stream, linger, receive, send)
        # From here on it hears everything, so that nothing is missed between the old stream and this one.
        self._playbooks.listen(listener)
        try:
            if after is not None:
                listener.take_over(await self._take(session, after))
            self.close_session(session.id, but=listener)
            await self._bus.tell(subjects.STREAM_OPENED, StreamOpened(session=session.id, edge=self._bus.instance))
            listener.offer((await self._playbooks.open(place, asker)).etags)
            await self._reread(session.id, [listener])
            await self._watching.stand(place.organisation, listener.watched)
            await outlet.idle()
            await self.follow(listener, outlet)
        finally:
            self._playbooks.leave(listener)
        await send_end(send)

    async def _take(self, session: Session, after: EventId) -> StreamNews:
        """What the client has not heard of its stream, from the edge that held it."""
        question = TakeNews(stream=after.stream, session=session.id, number=after.number)
        holder = holder_of(after.stream)
        if holder == self._alias:
            return self.let_go(question)
        try:
            return await self._bus.ask(subjects.news(holder), question, StreamNews, _TAKE_SECONDS)
        except Problem:
            return StreamNews(held=False)

    def let_go(self, question: TakeNews) -> StreamNews:
        """The client goes on elsewhere: what it has not heard of its stream here, which ends."""
        for listener in self._playbooks.listeners():
            if listener.stream == question.stream and listener.session == question.session and not listener.closed:
                return listener.hand_over(question.number)
        return StreamNews(held=False)

    def session_changed(self, session: Session) -> None:
        """The session of a connection here subscribed to other resources."""
        for listener in self._of(session.id):
            listener.watch(session.subscriptions)

    async def subscribed(self, place: Place, uri: str, server: str) -> None:
        """A session watches this from now on: returns once no change of it is missed where the session has a stream.

        That may be at another edge, of which nothing is known here: so the server is told whether or not one is here.
        """
        await self._watching.stand(place.organisation, {uri: server})

    def changed_anywhere(self, session: str) -> None:
        """A session was stored anew, perhaps by another edge, and perhaps it subscribed to other resources.

        From this moment on nothing that it may watch is missed, although it takes a while to read what that is.
        """
        listeners = self._of(session)
        if listeners:
            for listener in listeners:
                listener.doubt()
            task = asyncio.create_task(self._settle(session, listeners))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)

    async def _settle(self, session: str, listeners: list[Listener]) -> None:
        try:
            await self._reread(session, listeners)
        except Problem as problem:
            log.warning("subscriptions_unread", reason=problem.code)
        finally:
            for listener in listeners:
                listener.settled()

    async def _reread(self, id: str, listeners: list[Listener]) -> None:
        number = next(self._reads)
        session = await self._sessions.read(id)
        if session is None:
            return
        for listener in listeners:
            # Whoever asked first may not have the last word.
            if listener.read < number:
                listener.read = number
                listener.watch(session.subscriptions)

    def session_told(self, message: SessionTold) -> None:
        """A server has something to say to one session; without a stream it is not heard."""
        for listener in self._playbooks.listeners():
            if listener.session == message.session:
                listener.say(bytes(message.message))

    def opened_elsewhere(self, message: StreamOpened) -> None:
        """The session has a newer stream at another edge."""
        if message.edge != self._bus.instance and not message.stream:
            self.close_session(message.session)

    def close_session(self, session: str, but: Listener | None = None) -> None:
        """End the streams of a session that are here."""
        for listener in self._playbooks.listeners():
            if listener.session == session and listener is not but:
                listener.close()

    def close_key(self, key_id: str) -> None:
        """End the streams that a token opened: it was revoked."""
        for listener in self._playbooks.listeners():
            if listener.key_id == key_id:
                listener.close()

    def _of(self, session: str) -> list[Listener]:
        return [listener for listener in self._playbooks.listeners() if listener.session == session]

    async def serve_listen(
        self, message: Message, place: Place, asker: Asker, head: RpcHead, opened: Opened, outlet: Outlet
    ) -> None:
        """`subscriptions/listen`: the acknowledgement first, then what changes, each with the subscription's id."""
        try:
            asked = _listen_params(message.params)
        except msgspec.ValidationError as error:
            raise Refused(-32602, f"params of subscriptions/listen: {error}", message.raw_id) from None
        wanted = asked.notifications
        kinds = [kind for kind in KINDS if getattr(wanted, f"{kind}_list_changed")]
        watched = await self._owned(place, wanted.resource_subscriptions[:MAX_WATCHED], asker)
        listener = Listener(place, asker, frozenset(kinds), opened.etags, watched)
        tasks = TaskNews(self._calls, place, head, bytes(asked.meta), listener, message.raw_id)
        # From here on it hears everything, so that nothing is missed between the acknowledgement and what follows.
        self._playbooks.listen(listener)
        try:
            await self._watching.stand(place.organisation, watched)
            listener.offer((await self._playbooks.open(place, asker)).etags)
            heard = await tasks.begin(wanted.task_ids) if wanted.task_ids else []
            listener.judge_tasks = tasks.judge
            honoured: dict[str, object] = {f"{kind}ListChanged": True for kind in kinds}
            honoured |= {"resourceSubscriptions": list(watched)} if watched else {}
            honoured |= {"taskIds": heard} if heard else {}
            meta = b'"_meta":{"io.modelcontextprotocol/subscriptionId":' + message.raw_id + b"}"
            acknowledged = b'"notifications":' + _encode(honoured)
            await outlet.say(_notification("notifications/subscriptions/acknowledged", meta, acknowledged))
            await self.follow(listener, outlet, meta)
        finally:
            self._playbooks.leave(listener)
            tasks.end()
        await outlet.result(b'{"resultType":"complete",' + meta + b"}")

    async def _owned(self, place: Place, uris: list[str], asker: Asker) -> dict[str, str]:
        """URI -> server; a resource that is nobody's is left out of what is honoured."""
        owned: dict[str, str] = {}
        for uri in dict.fromkeys(uris):
            try:
                owned[uri] = await self._playbooks.owner(place, uri, asker)
            except Problem as problem:
                if problem.code != "resource.unknown":
                    raise
        return owned
