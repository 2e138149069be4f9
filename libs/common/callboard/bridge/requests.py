"""The way of one request of the client: sent once, waited for, and sent again only where nothing can run twice.

What the endpoint says comes to `Flight.take`; `streams.Listening` is the flight that outlives its connection.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

import msgspec

from callboard.bridge.endpoint import Answer, Endpoint, Patience, Unreached, drain
from callboard.bridge.headers import MEDIA, RequestHeaders
from callboard.bridge.messages import (
    HEADER_MISMATCH,
    Envelope,
    Malformed,
    Params,
    Refused,
    error_answer,
    error_object,
    member,
    named,
    parse_all,
    problem_object,
    request,
)
from callboard.bridge.session import Session, SessionLost
from callboard.bridge.sse import TooLarge
from callboard.contracts.problems import Problem

log = logging.getLogger("callboard.bridge")
Write = Callable[[bytes], Awaitable[None]]

# Sent again after their answer was lost: they read, or a second time has the effect of the first.
REPEATABLE: Final = frozenset(
    {
        "completion/complete",
        "initialize",
        "logging/setLevel",
        "ping",
        "prompts/get",
        "prompts/list",
        "resources/list",
        "resources/read",
        "resources/subscribe",
        "resources/templates/list",
        "resources/unsubscribe",
        "server/discover",
        "subscriptions/listen",
        "tools/list",
    }
)
_KEPT: Final = frozenset({"logging/setLevel", "resources/subscribe", "resources/unsubscribe"})
_AWAY: Final = frozenset({502, 503, 504})
_MAX_PAGES: Final = 1000
_LONGEST_RETRY: Final = 30_000  # milliseconds
_BROKEN_OFF: Final = Unreached("it broke off its answer", sent=True)


class _Peek(msgspec.Struct, frozen=True):
    code: int = 0
    data: msgspec.Raw = msgspec.Raw(b"null")


class _PeekData(msgspec.Struct, frozen=True):
    code: str = ""


_peek = msgspec.json.Decoder(_Peek).decode
_peek_data = msgspec.json.Decoder(_PeekData).decode


class Flight:
    """One request that is under way. `modern`: of the stateless era."""

    def __init__(self, message: Envelope, line: bytes, params: Params, patience: Patience) -> None:
        self.message = message
        self.line = line
        self.params = params
        self.modern = bool(params.version)
        self.patience = patience
        self.task: asyncio.Task[None] | None = None
        self.sent = False
        self.cancelled = False
        self.renewed = False
        self.listed = False

    @property
    def id(self) -> bytes:
        """Its id as JSON text."""
        return self.message.raw_id

    def take(self, found: Envelope, raw: bytes) -> tuple[list[bytes], bool]:
        """A message that came for it: what the client gets, and whether that was the end."""
        if found.answers(self.id):
            return [named(found, raw, self.id)], True
        if found.is_answer:
            log.warning("the server answered a request that was not asked here; left out")
            return [], False
        return [raw], False


class Requests:
    """Sends requests until they are answered; writes the answers."""

    def __init__(self, endpoint: Endpoint, session: Session, write: Write) -> None:
        self._endpoint = endpoint
        self._session = session
        self._headers = RequestHeaders()
        self._write = write
        self._own_ids = itertools.count(1)

    async def serve(self, flight: Flight) -> None:
        """Until exactly one answer was written, or the client gave the request up."""
        try:
            if flight.message.method == "initialize":
                async with self._session.opening:
                    await self._until_answered(flight)
            else:
                await self._until_answered(flight)
        except Refused as refused:
            await self._fail(flight, refused.error)
        except Unreached as gone:
            await self._fail(flight, problem_object(self._problem(flight, gone)))
        except TooLarge:
            await self._fail(flight, error_object(-32603, "the answer is over the limit of the bridge"))
        except Malformed:
            problem = Problem("server.invalid_answer", f"{self._endpoint.shown} did not answer in JSON-RPC")
            await self._fail(flight, problem_object(problem))
        except Exception:
            log.exception("a request failed inside the bridge")
            await self._fail(flight, error_object(-32603, "something went wrong in the bridge; see its stderr"))

    def _problem(self, flight: Flight, gone: Unreached) -> Problem:
        shown = self._endpoint.shown
        if gone.sent and flight.message.method not in REPEATABLE:
            return Problem("call.outcome_unknown", f"{shown} went away within the call: {gone.reason}")
        return Problem("endpoint.unreachable", f"{shown} does not answer: {gone.reason}")

    async def _fail(self, flight: Flight, error: bytes) -> None:
        if not flight.cancelled:
            await self._write(error_answer(flight.id, error))

    async def _until_answered(self, flight: Flight) -> None:
        told = False
        while not flight.cancelled:
            try:
                await self._attempt(flight)
                return
            except SessionLost as lost:
                if flight.renewed:
                    raise Refused(lost.error) from None
                flight.renewed, flight.sent = True, False
                gone = await self._renew(lost)
                flight.renewed = gone is None
            except Unreached as failure:
                if flight.cancelled or (failure.sent and flight.message.method not in REPEATABLE):
                    raise
                gone = failure
            flight.sent = False
            if gone is not None:
                if not told:
                    log.warning("%s does not answer (%s); waiting for it", self._endpoint.shown, gone.reason)
                told = True
                await flight.patience.wait(gone)

    async def _renew(self, lost: SessionLost) -> Unreached | None:
        try:
            await self._session.renew(lost.generation)
        except Unreached as gone:
            # The request itself was refused: it can always be sent again.
            return Unreached(gone.reason, sent=False)
        return None

    async def _attempt(self, flight: Flight) -> None:
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
        await self._attempt(flight)

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
        last_id, retry = await self._events(flight, answer, "")
        while last_id:
            # The server let the connection go and means us to come back for the rest (2025-11-25, transports).
            await asyncio.sleep(min(retry, _LONGEST_RETRY) / 1000)
            headers = {**self._session.headers(), "Accept": "text/event-stream", "Last-Event-ID": last_id}
            try:
                async with self._endpoint.exchange("GET", headers) as resumed:
                    if resumed.status != 200 or not resumed.is_stream:
                        raise Refused(problem_object(self._problem(flight, _BROKEN_OFF)))
                    last_id, retry = await self._events(flight, resumed, last_id)
            except Unreached as gone:
                await flight.patience.wait(Unreached(gone.reason, sent=True))

    async def _events(self, flight: Flight, answer: Answer, last_id: str) -> tuple[str, int]:
        """Pass on a stream; ("", 0) when it held the answer, else the last event id and the pause it asked for."""
        retry = 0
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
        elif method in _KEPT:
            self._session.remember(flight.message, flight.line)

    def _look_at(self, flight: Flight, answer: Answer, error: bytes) -> None:
        """A gateway in the middle of its restart is waited for; a refused token is told on stderr."""
        if answer.status in (401, 403):
            log.error(self._endpoint.refusal(answer.status))
        try:
            code = _peek_data(_peek(error).data).code
        except msgspec.DecodeError:
            return
        if code in ("bus.unavailable", "database.unavailable") and flight.message.method in REPEATABLE:
            raise Unreached(code, sent=True)

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
