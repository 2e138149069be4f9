"""A session over Streamable HTTP, in either era. Spec: basic/transports of 2025-11-25 and 2026-07-28."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping

import aiohttp
import msgspec
import structlog
from multidict import CIMultiDict

import callboard
from callboard.contracts.calls import MODERN
from callboard_connectors.sessions.domain import Opening
from callboard_connectors.sessions.negotiate import OWN_META
from callboard_connectors.sessions.session import LIST_CHANGED, SUBSCRIPTION, UNHEARD, Listener, Outgoing
from callboard_connectors.transports import envelope as rpc
from callboard_connectors.transports.envelope import Envelope, RpcRefused
from callboard_connectors.transports.failures import InvalidAnswer, SessionUnknown, StatusRefused, TransportFailure
from callboard_connectors.transports.header_values import encode_header_value
from callboard_connectors.transports.http import HttpLink, redirect_target
from callboard_connectors.transports.sse import ServerEvent

log = structlog.get_logger()

_ACCEPT = "application/json, text/event-stream"
_NAMED_HEADERS = 2048
_RESUMES = 8
_RESUME_SECONDS = 1.0
_GOODBYE_SECONDS = 0.4


class HttpSession:
    """One session. In the modern era it is only the agreement; in the legacy era the server keeps one too."""

    opening: Opening

    def __init__(self, link: HttpLink, headers: Mapping[str, str]) -> None:
        self._link = link
        self._base = CIMultiDict(headers)
        self._base.update(
            {
                "Accept": _ACCEPT,
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
                "User-Agent": f"callboard/{callboard.__version__}",
            }
        )
        self._session_id = ""
        self._headers = CIMultiDict(self._base)
        self._named: dict[tuple[str, str], CIMultiDict[str]] = {}
        self._ids = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: list[Callable[[str], None]] = []

    def next_id(self) -> int:
        """A request id that this session has not used."""
        return next(self._ids)

    def on_end(self, callback: Callable[[str], None]) -> None:
        """HTTP has no end of its own: a lost session shows in the next answer."""

    def adopt(self, opening: Opening) -> None:
        """The era is agreed: from here on every request carries it."""
        self.opening = opening
        self._headers = CIMultiDict(self._base)
        self._headers["MCP-Protocol-Version"] = opening.era
        if self._session_id:
            self._headers["Mcp-Session-Id"] = self._session_id

    # ------------------------------------------------------------------------------------- requests

    async def call(self, outgoing: Outgoing, listener: Listener) -> Envelope:
        """Send once and wait for the answer; see `Session.call`."""
        headers = self._headers_of(outgoing) if self.opening.modern else self._headers
        listener.written()
        try:
            response = await self._link.post(outgoing.message, headers)
            return await self._answer(response, outgoing.id, listener)
        except asyncio.CancelledError:
            # In the modern era the closed response is the cancellation.
            if not self.opening.modern:
                self._tell_later(rpc.notification("notifications/cancelled", {"requestId": outgoing.id}))
            raise

    def _headers_of(self, outgoing: Outgoing) -> CIMultiDict[str]:
        key = (outgoing.method, outgoing.name)
        headers = self._named.get(key)
        if headers is None:
            headers = CIMultiDict(self._headers)
            headers["Mcp-Method"] = outgoing.method
            if outgoing.name:
                headers["Mcp-Name"] = encode_header_value(outgoing.name)
            if len(self._named) >= _NAMED_HEADERS:
                self._named.clear()
            self._named[key] = headers
        if outgoing.headers:
            headers = CIMultiDict(headers)
            headers.update(outgoing.headers)
        return headers

    async def ask(self, method: str, params: dict[str, object], within: float) -> bytes:
        """A request of our own; see `Session.ask`."""
        if self.opening.modern:
            params = {**params, "_meta": OWN_META}
        return await self.ask_as(self.opening.era, method, params, within)

    async def ask_as(self, version: str, method: str, params: dict[str, object], within: float) -> bytes:
        """A request in the manner of a version; see `Unagreed`."""
        number = self.next_id()
        body = rpc.request(number, method, params)
        async with asyncio.timeout(within):
            response = await self._post_following(body, self._headers_as(version, method))
            if not version and (session := response.headers.get("Mcp-Session-Id")):
                self._session_id = session
            answer = await self._answer(response, number, UNHEARD)
        if bytes(answer.error):
            raise RpcRefused(bytes(answer.error))
        return bytes(answer.result)

    async def tell_as(self, version: str, method: str) -> None:
        """A notification in the manner of a version."""
        response = await self._link.post(rpc.notification(method), self._headers_as(version, method))
        status = response.status
        response.release()
        if status >= 400:
            raise StatusRefused(status, _status_words(status))

    def _headers_as(self, version: str, method: str) -> CIMultiDict[str]:
        headers = CIMultiDict(self._base)
        if version:
            headers["MCP-Protocol-Version"] = version
        if version == MODERN:
            headers["Mcp-Method"] = method
        elif self._session_id:
            headers["Mcp-Session-Id"] = self._session_id
        return headers

    async def _post_following(self, body: bytes, headers: CIMultiDict[str]) -> aiohttp.ClientResponse:
        """Follow one redirect within the origin (the usual trailing slash), and remember where it led."""
        response = await self._link.post(body, headers)
        if (target := redirect_target(self._link.url, response)) is not None:
            response.release()
            self._link.url = target
            response = await self._link.post(body, headers)
        return response

    # -------------------------------------------------------------------------------------- answers

    async def _answer(self, response: aiohttp.ClientResponse, number: int, listener: Listener) -> Envelope:
        """The answer to a request out of its response; whatever comes before goes to the listener."""
        try:
            kind = response.headers.get("Content-Type", "")
            if kind[:17].lower() == "text/event-stream":
                return await self._streamed(response, number, listener)
            body = await self._link.body(response)
        except BaseException:
            response.close()
            raise
        return await self._whole(response, body, b"%d" % number, listener)

    async def _whole(
        self, response: aiohttp.ClientResponse, body: bytes, request_id: bytes, listener: Listener
    ) -> Envelope:
        status = response.status
        try:
            for found, raw in rpc.messages_in(body):
                if found.is_answer and rpc.answers(found, request_id):
                    if status == 404 and self._is_lost(found):
                        raise SessionUnknown
                    if status < 400 or bytes(found.error):
                        return found
                elif not found.is_answer:
                    await self._heard(found, raw, listener)
        except msgspec.DecodeError:
            if status < 300:
                raise InvalidAnswer("answered something that is not JSON-RPC") from None
        if status == 404 and self._session_id:
            raise SessionUnknown
        if status >= 300:
            raise StatusRefused(status, _status_words(status, response.headers.get("Location", "")))
        if status == 202 or not body:
            raise InvalidAnswer("accepted the request without answering it")
        raise InvalidAnswer("answered another request than ours")

    def _is_lost(self, found: Envelope) -> bool:
        # A 404 means "session unknown", unless it spells out that only the method is.
        return bool(self._session_id) and RpcRefused(bytes(found.error)).peek.code != rpc.METHOD_NOT_FOUND

    async def _streamed(self, response: aiohttp.ClientResponse, number: int, listener: Listener) -> Envelope:
        """The answer out of a stream; a stream that breaks off is resumed where the server allows that."""
        request_id = b"%d" % number
        last_id, retry = "", _RESUME_SECONDS
        for _ in range(_RESUMES):
            if response.status == 404 and self._session_id:
                raise SessionUnknown
            failure = TransportFailure("it ended its stream without an answer", sent=True)
            try:
                async for event in self._link.events(response):
                    last_id = event.id or last_id
                    retry = retry if event.retry is None else event.retry / 1000
                    answer = await self._event(event, request_id, listener)
                    if answer is not None:
                        self._link.let_go(response)
                        return answer
            except TransportFailure as broken:
                failure = broken
            response.close()
            if not last_id or self.opening.modern:
                raise failure
            await asyncio.sleep(retry)
            headers = CIMultiDict(self._headers)
            headers["Accept"] = "text/event-stream"
            headers["Last-Event-ID"] = last_id
            response = await self._link.get(headers)
            if response.status != 200:
                raise failure
        raise TransportFailure("it kept ending its stream without an answer", sent=True)

    async def _event(self, event: ServerEvent, request_id: bytes, listener: Listener) -> Envelope | None:
        if not event.data or event.event != "message":
            return None
        try:
            found = rpc.decode(event.data)
        except msgspec.DecodeError:
            raise InvalidAnswer("sent an event that is not JSON-RPC") from None
        if not found.is_answer:
            await self._heard(found, event.data, listener)
            return None
        if not rpc.answers(found, request_id):
            raise InvalidAnswer("answered another request than ours")
        return found

    async def _heard(self, found: Envelope, raw: bytes, listener: Listener) -> None:
        if not found.method:
            return
        if bytes(found.id):
            self._tell_later(rpc.reply_to_server(found))
        else:
            await listener.notified(found, raw)

    def _tell_later(self, message: bytes) -> None:
        """Post something that nobody waits for."""
        task = asyncio.get_running_loop().create_task(self._told(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _told(self, message: bytes) -> None:
        try:
            async with asyncio.timeout(5):
                (await self._link.post(message, self._headers)).release()
        except (TransportFailure, TimeoutError):
            pass

    # ------------------------------------------------------------------------------------ listening

    async def listen(self, changed: Callable[[], None]) -> bool:
        """The server's own stream: GET in the legacy era, `subscriptions/listen` in the modern one."""
        if self.opening.modern:
            number = self.next_id()
            body = rpc.request(number, "subscriptions/listen", {"notifications": SUBSCRIPTION, "_meta": OWN_META})
            response = await self._link.post(body, self._headers_as(MODERN, "subscriptions/listen"))
        elif self._session_id:
            headers = CIMultiDict(self._headers)
            headers["Accept"] = "text/event-stream"
            response = await self._link.get(headers)
        else:
            return False
        try:
            if response.status == 404 and self._session_id:
                raise SessionUnknown
            if response.status != 200:
                return False
            async for event in self._link.events(response):
                if not await self._changed(event, changed):
                    return False
            return True
        finally:
            response.close()

    async def _changed(self, event: ServerEvent, changed: Callable[[], None]) -> bool:
        """Take one event of the server's stream; False when it refuses to have one."""
        if not event.data:
            return True
        try:
            found = rpc.decode(event.data)
        except msgspec.DecodeError:
            return True
        if found.method in LIST_CHANGED:
            changed()
        elif found.method and bytes(found.id):
            self._tell_later(rpc.reply_to_server(found))
        return not bytes(found.error)

    async def close(self) -> None:
        """End the server's session, when there is one."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._session_id:
            try:
                async with asyncio.timeout(_GOODBYE_SECONDS):
                    await self._link.delete(self._headers)
            except TimeoutError:
                pass


def _status_words(status: int, location: str = "") -> str:
    if status in (401, 403):
        return f"refused our credentials (HTTP {status})"
    if 300 <= status < 400:
        return f"redirects elsewhere (HTTP {status}); register the URL it redirects to"
    if status == 404:
        return "has nothing at this path (HTTP 404)"
    if status == 429:
        return "asks for fewer requests (HTTP 429)"
    return f"answered HTTP {status}"
