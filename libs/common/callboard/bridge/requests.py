"""The way of one request of the client: sent once, waited for, and sent again only where nothing can run twice.

What the endpoint says comes to `Flight.take`; `streams.Listening` is the flight that outlives its connection. What a
request meets whatever carries it is in `flights.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from contextlib import aclosing
from typing import Final

import msgspec

from callboard.bridge.endpoint import LONGEST_RETRY, Answer, Endpoint, Unreached, drain
from callboard.bridge.flights import REPEATABLE, Delivery, Flight, Write, look_at
from callboard.bridge.headers import MEDIA, RequestHeaders
from callboard.bridge.messages import (
    HEADER_MISMATCH,
    Envelope,
    Malformed,
    Refused,
    error_object,
    member,
    parse_all,
    problem_object,
    request,
)
from callboard.bridge.said import KEPT
from callboard.bridge.session import Session, SessionLost
from callboard.contracts.problems import Problem

log = logging.getLogger("callboard.bridge")
_AWAY: Final = frozenset({502, 503, 504})
_MAX_PAGES: Final = 1000
_BROKEN_OFF: Final = Unreached("it broke off its answer", sent=True)


class _Peek(msgspec.Struct, frozen=True):
    code: int = 0


_peek = msgspec.json.Decoder(_Peek).decode


class Requests(Delivery):
    """Sends requests until they are answered; writes the answers."""

    def __init__(self, endpoint: Endpoint, session: Session, write: Write) -> None:
        super().__init__(endpoint.shown, write)
        self._endpoint = endpoint
        self._session = session
        self._headers = RequestHeaders()
        self._own_ids = itertools.count(1)

    async def serve(self, flight: Flight) -> None:
        """Until exactly one answer was written, or the client gave the request up."""
        if flight.message.method != "initialize":
            await super().serve(flight)
            return
        async with self._session.opening:
            await super().serve(flight)

    async def _attempt(self, flight: Flight) -> None:
        try:
            await self._exchange(flight)
        except SessionLost as lost:
            if flight.renewed:
                raise Refused(lost.error) from None
            flight.renewed, flight.sent = True, False
            await self._renew(flight, lost)
            if not flight.cancelled:
                await self._attempt(flight)

    async def _renew(self, flight: Flight, lost: SessionLost) -> None:
        try:
            await self._session.renew(lost.generation)
        except Unreached as gone:
            # The request itself was refused: it can always be sent again.
            flight.renewed = False
            raise Unreached(gone.reason, sent=False) from None

    async def _exchange(self, flight: Flight) -> None:
        if flight.message.method not in REPEATABLE:
            await self._endpoint.settle()
        if flight.modern or flight.message.method == "initialize":
            headers = self._headers.of(flight.message, flight.params) if flight.modern else MEDIA
        else:
            async with self._session.opening:
                headers = self._session.headers()
        generation = self._session.generation
        in_session = "Mcp-Session-Id" in headers
        flight.sent = True
        async with self._endpoint.exchange("POST", headers, flight.line) as answer:
            if answer.status == 404 and in_session:
                raise SessionLost(generation, _error_in(await answer.body()))
            if answer.is_stream:
                await self._stream(flight, answer)
                return
            if await self._whole(flight, answer):
                return
        # The call was refused for its headers, so it did not run: learn them, and send it once more.
        flight.listed, flight.sent = True, False
        await self._list_tools(flight)
        await self._exchange(flight)

    async def _whole(self, flight: Flight, answer: Answer) -> bool:
        """An answer in one piece; False when the request was refused for headers that can be learned."""
        body = await answer.body()
        try:
            found = parse_all(body)
        except Malformed:
            raise self._refusal(flight, answer) from None
        for envelope, raw in found:
            if not flight.listed and answer.status == 400 and _is_mismatch(flight, envelope):
                return False
            if await self._pass_on(flight, answer, envelope, raw):
                return True
        raise Unreached("it answered without an answer to the request", sent=True)

    async def _stream(self, flight: Flight, answer: Answer) -> None:
        last_id, retry = await self._events(flight, answer, "", 0)
        while last_id:
            # The server let the connection go and means us to come back for the rest (2025-11-25, transports).
            await asyncio.sleep(min(retry, LONGEST_RETRY) / 1000)
            headers = {**self._session.headers(), "Accept": "text/event-stream", "Last-Event-ID": last_id}
            try:
                async with self._endpoint.exchange("GET", headers) as resumed:
                    if resumed.status in _AWAY:
                        raise Unreached(f"HTTP {resumed.status}", sent=True)
                    if resumed.status != 200 or not resumed.is_stream:
                        raise Refused(problem_object(self._problem(flight, _BROKEN_OFF)))
                    flight.patience.forget()
                    last_id, retry = await self._events(flight, resumed, last_id, retry)
            except Unreached as gone:
                await flight.patience.wait(Unreached(gone.reason, sent=True))

    async def _events(self, flight: Flight, answer: Answer, last_id: str, retry: int) -> tuple[str, int]:
        """Pass on a stream; ("", 0) when it held the answer, else the last event id and the pause it asked for."""
        try:
            async with aclosing(answer.events()) as events:
                async for event in events:
                    last_id = last_id if event.id is None else event.id
                    retry = event.retry or retry
                    for envelope, raw in parse_all(event.data) if event.data.strip() else ():
                        if await self._pass_on(flight, answer, envelope, raw):
                            await drain(events)
                            return "", 0
        except Unreached:
            if not last_id:
                raise
        if flight.modern or not last_id:
            raise _BROKEN_OFF
        return last_id, retry

    async def _pass_on(self, flight: Flight, answer: Answer, envelope: Envelope, raw: bytes) -> bool:
        if envelope.is_answer and bytes(envelope.error):
            self._look_at(flight, answer, bytes(envelope.error))
        messages, ended = flight.take(envelope, raw)
        if ended and bytes(envelope.result):
            self._learn(flight, answer, bytes(envelope.result))
        for message in messages:
            await self._write(message)
        return ended

    def _learn(self, flight: Flight, answer: Answer, result: bytes) -> None:
        method = flight.message.method
        if method == "tools/list":
            self._headers.learn(result)
        elif method == "initialize":
            self._session.opened(flight.line, answer, result)
        elif method in KEPT:
            self._session.said.remember(flight.message, flight.line)

    def _look_at(self, flight: Flight, answer: Answer, error: bytes) -> None:
        """A gateway in the middle of its restart is waited for; a refused token is told on stderr."""
        if answer.status in (401, 403):
            log.error(self._endpoint.refusal(answer.status))
        look_at(flight, error)

    def _refusal(self, flight: Flight, answer: Answer) -> Exception:
        """What a status without a JSON-RPC message means."""
        shown, status = self._endpoint.shown, answer.status
        if status == 429:
            return Unreached("HTTP 429", sent=False)
        if status in _AWAY or (status >= 500 and flight.message.method not in REPEATABLE):
            return Unreached(f"HTTP {status}", sent=True)
        if status in (401, 403):
            text = self._endpoint.refusal(status)
            log.error(text)
            return Refused(problem_object(Problem("auth.invalid" if status == 401 else "auth.forbidden", text)))
        text = f"{shown} answered HTTP {status} and not like an MCP server"
        if 300 <= status < 400:
            text = f"{shown} answered HTTP {status}: it is at {answer.header('location')[:500]}"
        return Refused(problem_object(Problem("server.invalid_answer", text)))

    async def _list_tools(self, flight: Flight) -> None:
        """Learn which arguments travel in headers too: the client may know its tools from an earlier run."""
        cursor: str | None = ""
        for _ in range(_MAX_PAGES):
            members = [member("_meta", flight.params.meta), *([member("cursor", cursor)] if cursor else [])]
            line = request(f"callboard-bridge-{next(self._own_ids)}", "tools/list", b"{" + b",".join(members) + b"}")
            listing = Envelope(method="tools/list")
            headers = self._headers.of(listing, flight.params)
            async with self._endpoint.exchange("POST", headers, line) as answer:
                found = await answer.message()
            cursor = self._headers.learn(bytes(found.result)) if found is not None else None
            if not cursor:
                return


def _is_mismatch(flight: Flight, found: Envelope) -> bool:
    """Whether a call was refused, and so not executed, for headers that do not mirror its body."""
    if not flight.modern or flight.message.method != "tools/call" or not bytes(found.error):
        return False
    try:
        return _peek(found.error).code == HEADER_MISMATCH
    except msgspec.DecodeError:
        return False


def _error_in(body: bytes) -> bytes:
    """The raw error object of a refusal, or one that says as much."""
    try:
        found = next((bytes(envelope.error) for envelope, _ in parse_all(body)), b"")
    except Malformed:
        found = b""
    return found or error_object(-32001, "Session not found")
