"""A session over Streamable HTTP, in either era. Spec: basic/transports of 2025-11-25 and 2026-07-28."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from callboard.contracts.calls import MODERN, TASK_METHODS
from callboard.contracts.problems import Problem
from callboard.kernel.header_values import encode_header_value
from callboard_connectors.sessions.domain import Opening
from callboard_connectors.sessions.negotiate import OWN_META
from callboard_connectors.sessions.session import UNHEARD, Listener, Outgoing, Watcher, subscription, tell
from callboard_connectors.transports import envelope as rpc
from callboard_connectors.transports.envelope import Envelope, RpcRefused
from callboard_connectors.transports.failures import (
    InvalidAnswer,
    SessionUnknown,
    StatusRefused,
    TransportFailure,
    status_words,
)
from callboard_connectors.transports.headers import USER_AGENT, unreserved
from callboard_connectors.transports.http import HttpLink
from callboard_connectors.transports.http_wire import Response
from callboard_connectors.transports.sse import ServerEvent

_OWN_HEADERS = {
    "Accept": "application/json, text/event-stream",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
    "User-Agent": USER_AGENT,
}
_NAMED_HEADS = 2048
_RESUMES = 8
_RESUME_SECONDS = 1.0
_GOODBYE_SECONDS = 0.4
_BESIDES_HELD = 256  # answers to the server that are not written yet


class HttpSession:
    """One session. In the modern era it is only the agreement; in the legacy era the server keeps one too."""

    opening: Opening
    transport = "http"
    tells_its_end = False

    def __init__(self, link: HttpLink, headers: Mapping[str, str]) -> None:
        self.log_level = ""
        self._link = link
        self._base = unreserved(headers) | _OWN_HEADERS
        self._session_id = ""
        self._headers: dict[str, str] = dict(self._base)
        self._head = b""
        self._heads: dict[tuple[str, str], bytes] = {}
        self._ids = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()

    def next_id(self) -> int:
        """A request id that this session has not used."""
        return next(self._ids)

    def on_end(self, callback: Callable[[str], None]) -> None:
        """HTTP has no end of its own: a lost session shows in the next answer."""

    def adopt(self, opening: Opening) -> None:
        """The era is agreed: from here on every request carries it."""
        self.opening = opening
        self._headers = {**self._base, "MCP-Protocol-Version": opening.era}
        if self._session_id:
            self._headers["Mcp-Session-Id"] = self._session_id
        self._head = self._link.head("POST", self._headers)

    # ------------------------------------------------------------------------------------- requests

    async def call(self, outgoing: Outgoing, listener: Listener) -> Envelope:
        """Send once and wait for the answer; see `Session.call`."""
        head = self._head_of(outgoing) if self.opening.modern else self._head
        listener.written()
        try:
            response = await self._link.post(head, outgoing.message)
            return await self._answer(response, outgoing.id, listener)
        except asyncio.CancelledError:
            # In the modern era the closed response is the cancellation.
            if not self.opening.modern:
                self._tell_later(rpc.notification("notifications/cancelled", {"requestId": outgoing.id}))
            raise

    def _head_of(self, outgoing: Outgoing) -> bytes:
        """The head of a modern request: headers mirror its method, what it names, and some of its arguments."""
        key = (outgoing.method, outgoing.name)
        head = self._heads.get(key)
        if head is None:
            headers = {**self._headers, "Mcp-Method": outgoing.method}
            if outgoing.name:
                headers["Mcp-Name"] = encode_header_value(outgoing.name)
            head = self._link.head("POST", headers)
            if outgoing.method not in TASK_METHODS:  # whose names are used a few times and never again
                if len(self._heads) >= _NAMED_HEADS:
                    self._heads.clear()
                self._heads[key] = head
        if outgoing.headers:
            head += "".join(f"{name}: {value}\r\n" for name, value in outgoing.headers.items()).encode()
        return head

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
            if not version and (session := response.header(b"mcp-session-id")):
                self._session_id = session
            answer = await self._answer(response, number, UNHEARD)
        if bytes(answer.error):
            raise RpcRefused(bytes(answer.error))
        return bytes(answer.result)

    async def tell_as(self, version: str, method: str) -> None:
        """A notification in the manner of a version."""
        head = self._link.head("POST", self._headers_as(version, method))
        response = await self._link.post(head, rpc.notification(method))
        self._link.let_go(response)
        status = response.status
        if status >= 400:
            raise StatusRefused(status, status_words(status))

    def _headers_as(self, version: str, method: str) -> dict[str, str]:
        headers = dict(self._base)
        if version:
            headers["MCP-Protocol-Version"] = version
        if version == MODERN:
            headers["Mcp-Method"] = method
        elif self._session_id:
            headers["Mcp-Session-Id"] = self._session_id
        return headers

    async def _post_following(self, body: bytes, headers: dict[str, str]) -> Response:
        """Follow one redirect within the origin (the usual trailing slash), and remember where it led."""
        response = await self._link.post(self._link.head("POST", headers), body)
        if (url := self._link.redirect_target(response)) is not None:
            self._link.let_go(response)
            self._link.move(url)
            response = await self._link.post(self._link.head("POST", headers), body)
        return response

    # -------------------------------------------------------------------------------------- answers

    async def _answer(self, response: Response, number: int, listener: Listener) -> Envelope:
        """The answer to a request out of its response; whatever comes before goes to the listener."""
        try:
            if response.headers.get(b"content-type", b"")[:17].lower() == b"text/event-stream":
                return await self._streamed(response, number, listener)
            body = response.taken() or await response.chunk()
            if not response.ended:
                if b"content-length" not in response.headers and response.status < 300:
                    return await self._trickled(response, body, b"%d" % number, listener)
                body = await self._link.body(response, body)
        except BaseException:
            response.close()
            raise
        return await self._whole(response, body, b"%d" % number, listener)

    async def _trickled(self, response: Response, first: bytes, request_id: bytes, listener: Listener) -> Envelope:
        """The answer out of a body of unknown length.

        Some servers send one message per line where a stream of events belongs: those are heard as they come.
        """
        begun = await self._link.body(response, first, until=b"\n")
        if response.ended or not rpc.is_message(begun.partition(b"\n")[0]):
            return await self._whole(response, await self._link.body(response, begun), request_id, listener)
        async for event in self._link.events(response, begun):
            if (answer := await self._event(event, request_id, listener)) is not None:
                self._link.let_go(response)
                return answer
        raise TransportFailure("it ended its stream without an answer", sent=True)

    async def _whole(self, response: Response, body: bytes, request_id: bytes, listener: Listener) -> Envelope:
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
        except msgspec.DecodeError as error:
            if status < 300:
                raise InvalidAnswer(rpc.fault_of(error)) from None
        if status == 404 and self._session_id:
            raise SessionUnknown
        if status >= 300:
            raise StatusRefused(status, status_words(status))
        if status == 202 or not body:
            raise InvalidAnswer("accepted the request without answering it")
        raise InvalidAnswer("answered another request than ours")

    def _is_lost(self, found: Envelope) -> bool:
        # A 404 means "session unknown", unless it spells out that only the method is.
        return bool(self._session_id) and RpcRefused(bytes(found.error)).peek.code != rpc.METHOD_NOT_FOUND

    async def _streamed(self, response: Response, number: int, listener: Listener) -> Envelope:
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
            else:
                if last_id and not self.opening.modern:
                    await listener.paused(round(retry * 1000))
            response.close()
            if not last_id or self.opening.modern:
                raise failure
            await asyncio.sleep(retry)
            response = await self._get({"Last-Event-ID": last_id})
            if response.status != 200:
                raise failure
        raise TransportFailure("it kept ending its stream without an answer", sent=True)

    async def _event(self, event: ServerEvent, request_id: bytes, listener: Listener) -> Envelope | None:
        if not event.data or event.event != "message":
            return None
        try:
            found = rpc.decode(event.data)
        except msgspec.DecodeError as error:
            raise InvalidAnswer(rpc.fault_of(error)) from None
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
            if len(self._tasks) < _BESIDES_HELD:  # else it asks without end, and does not read the answers
                self._later(self._replied(found, listener))
        else:
            await listener.notified(found, raw)

    async def _replied(self, found: Envelope, listener: Listener) -> None:
        """Answer a request of the server, while its stream goes on."""
        outcome = None if found.method == "ping" else await listener.asked(found)
        await self._told(rpc.reply_to_server(found) if outcome is None else rpc.reply_with(found, outcome))

    def _tell_later(self, message: bytes) -> None:
        """Post something that nobody waits for."""
        self._later(self._told(message))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _told(self, message: bytes) -> None:
        try:
            async with asyncio.timeout(5):
                self._link.let_go(await self._link.post(self._head, message))
        except (TransportFailure, TimeoutError, Problem):
            pass

    # ------------------------------------------------------------------------------------ listening

    async def listen(self, watcher: Watcher, uris: frozenset[str]) -> bool:
        """The server's own stream: GET in the legacy era, `subscriptions/listen` in the modern one."""
        if self.opening.modern:
            number = self.next_id()
            body = rpc.request(number, "subscriptions/listen", {"notifications": subscription(uris), "_meta": OWN_META})
            head = self._link.head("POST", self._headers_as(MODERN, "subscriptions/listen"))
            response = await self._link.post(head, body)
        elif self._session_id:
            response = await self._get({})
        else:
            return False
        try:
            if response.status == 404 and self._session_id:
                raise SessionUnknown
            if response.status != 200:
                return False
            if not self.opening.modern:
                watcher.opened()
            async for event in self._link.events(response):
                if not self._said(event, watcher):
                    return False
                if event.data:
                    # The headers come before the server has subscribed anything; what it says first is that it has.
                    watcher.opened()
            return True
        finally:
            response.close()

    async def _get(self, headers: dict[str, str]) -> Response:
        """Open a stream of the server."""
        return await self._link.ask(self._link.head("GET", {**self._headers, "Accept": "text/event-stream", **headers}))

    def _said(self, event: ServerEvent, watcher: Watcher) -> bool:
        """Take one event of the server's stream; False when it refuses to have one."""
        if not event.data:
            return True
        try:
            found = rpc.decode(event.data)
        except msgspec.DecodeError:
            return True
        if not tell(watcher, found) and found.method and bytes(found.id):
            self._tell_later(rpc.reply_to_server(found))
        return not bytes(found.error)

    async def close(self) -> None:
        """End the server's session, when there is one."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._session_id:
            try:
                async with asyncio.timeout(_GOODBYE_SECONDS):
                    (await self._link.ask(self._link.head("DELETE", self._headers))).close()
            except (TimeoutError, TransportFailure, Problem):
                pass
        self._link.close()
