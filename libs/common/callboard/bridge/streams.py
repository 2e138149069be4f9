"""Streams that outlive their connection: the GET stream of a session, and `subscriptions/listen`.

What changed while there was no stream is not known, so the client is told that everything it follows may have.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import Final

import msgspec

from callboard.bridge.endpoint import LONGEST_RETRY, Answer, Endpoint, Patience, Unreached
from callboard.bridge.flights import Flight, Write
from callboard.bridge.messages import Envelope, Malformed, Params, Refused, member, parse_all
from callboard.bridge.said import news
from callboard.bridge.session import Session
from callboard.bridge.sse import TooLarge

log = logging.getLogger("callboard.bridge")
_ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
_LASTED: Final = 1.0  # seconds; a stream that ends sooner was not wanted by the server
_AWAY: Final = frozenset({429, 502, 503, 504})


class _Filter(msgspec.Struct, frozen=True, rename="camel"):
    tools_list_changed: bool | None = None
    prompts_list_changed: bool | None = None
    resources_list_changed: bool | None = None
    resource_subscriptions: list[str] = []


class _Acknowledged(msgspec.Struct, frozen=True):
    notifications: _Filter = _Filter()


_acknowledged = msgspec.json.Decoder(_Acknowledged).decode


class Listening(Flight):
    """A `subscriptions/listen`: once acknowledged it ends only when the client or a refusal ends it."""

    def __init__(self, message: Envelope, line: bytes, params: Params, patience: Patience) -> None:
        super().__init__(message, line, params, patience)
        self._open = False
        self._since = 0.0
        self._short = 0

    def take(self, found: Envelope, raw: bytes) -> tuple[list[bytes], bool]:
        """Acknowledged once to the client; its end is passed on only when the server ends it at once, twice."""
        now = asyncio.get_running_loop().time()
        if found.method == _ACKNOWLEDGED:
            again, self._open, self._since = self._open, True, now
            self.patience = Patience(None)
            return (self._news(found) if again else [raw]), False
        if self._open and found.answers(self.id) and bytes(found.result):
            self._short = self._short + 1 if now - self._since < _LASTED else 0
            if self._short < 2:
                raise Unreached("it ended the subscription", sent=True)
        return super().take(found, raw)

    def _news(self, found: Envelope) -> list[bytes]:
        try:
            honoured = _acknowledged(found.params).notifications
        except msgspec.DecodeError:
            return []
        kinds = [kind for kind in ("tools", "prompts", "resources") if getattr(honoured, f"{kind}_list_changed")]
        meta = member("_meta", {"io.modelcontextprotocol/subscriptionId": self.message.id})
        return news(kinds, honoured.resource_subscriptions, meta)


class Following:
    """The GET stream of the session, for as long as the client is there."""

    def __init__(self, endpoint: Endpoint, session: Session, write: Write) -> None:
        self._endpoint = endpoint
        self._session = session
        self._write = write
        self._task: asyncio.Task[None] | None = None
        self._unknown = False
        self._last_id = ""
        self._retry = 0

    def start(self) -> None:
        """Begin, when the client says that it is initialized."""
        self.stop()
        self._task = asyncio.create_task(self._run(again=False))

    def stop(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()

    async def renewed(self) -> None:
        """The session is another one: follow that, and tell the client."""
        if self._task is None or self._task is asyncio.current_task():
            return
        if self._task.done():
            await self._tell()
        else:
            self.stop()
            self._task = asyncio.create_task(self._run(again=True))

    async def _run(self, again: bool) -> None:
        """`again`: the client follows already, and what changed before this stream is not known."""
        patience, loop = Patience(None), asyncio.get_running_loop()
        self._unknown, self._last_id, self._retry = again, "", 0
        while True:
            began = loop.time()
            gone = Unreached("the stream ended", sent=True)
            generation = self._session.generation
            headers = {**self._session.headers(), "Accept": "text/event-stream"}
            if self._last_id:
                headers["Last-Event-ID"] = self._last_id
            try:
                async with self._endpoint.exchange("GET", headers) as answer:
                    if answer.status == 200 and answer.is_stream:
                        await self._listen(answer)
                    elif answer.status == 404 and self._session.has_id:
                        self._last_id, self._unknown = "", True
                        await self._session.renew(generation)
                    elif answer.status == 400 and self._last_id:
                        self._last_id = ""  # it does not know this event; it is asked for a stream from now on
                    elif answer.status not in _AWAY:
                        return  # 405: the server has no such stream
            except Unreached as failure:
                gone = failure
            except (Refused, TooLarge):
                log.warning("the stream of the session was given up")
                return
            if loop.time() - began > _LASTED:
                patience.forget()
            await asyncio.sleep(min(self._retry, LONGEST_RETRY) / 1000)
            await patience.wait(gone)

    async def _listen(self, answer: Answer) -> None:
        if self._unknown and not self._last_id:
            await self._tell()
        self._unknown = True
        async with aclosing(answer.events()) as events:
            async for event in events:
                self._last_id = self._last_id if event.id is None else event.id
                self._retry = event.retry or self._retry
                await self._pass_on(event.data)

    async def _tell(self) -> None:
        for message in self._session.said.news():
            await self._write(message)

    async def _pass_on(self, data: bytes) -> None:
        try:
            found = parse_all(data) if data.strip() else []
        except Malformed:
            log.warning("the server sent something that is not JSON-RPC; left out")
            return
        for envelope, raw in found:
            if envelope.method:
                await self._write(raw)
