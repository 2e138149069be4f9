"""One request of the client under way, and what becomes of it whatever carries it: HTTP or a WebSocket."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from callboard.bridge.endpoint import Patience, Unreached
from callboard.bridge.messages import (
    Envelope,
    Malformed,
    Params,
    Refused,
    error_answer,
    error_object,
    named,
    problem_object,
)
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
        "tasks/cancel",
        "tasks/get",
        "tasks/result",
        "tasks/update",
        "tools/list",
    }
)


_NOT_TAKEN: Final = frozenset({"session.busy", "session.unknown"})
"""Codes of ours that say that the request was not even looked at."""


class _Peek(msgspec.Struct, frozen=True):
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


def look_at(flight: Flight, error: bytes) -> None:
    """A gateway that is busy or restarts is waited for: raises `Unreached` where the request may be repeated."""
    try:
        code = _peek_data(_peek(error).data).code
    except msgspec.DecodeError:
        return
    if code in _NOT_TAKEN:
        raise Unreached(code, sent=False)
    if code in ("bus.unavailable", "database.unavailable") and flight.message.method in REPEATABLE:
        raise Unreached(code, sent=True)


class Delivery(ABC):
    """Sends requests until they are answered. `shown`: the endpoint, for people."""

    def __init__(self, shown: str, write: Write) -> None:
        self._shown = shown
        self._write = write

    @abstractmethod
    async def _attempt(self, flight: Flight) -> None:
        """Send it once and write its answer. Raises `Unreached`, `Refused` and others."""

    async def serve(self, flight: Flight) -> None:
        """Until exactly one answer was written, or the client gave the request up."""
        try:
            await self._until_answered(flight)
        except Refused as refused:
            await self._fail(flight, refused.error)
        except Unreached as gone:
            await self._fail(flight, problem_object(self._problem(flight, gone)))
        except TooLarge:
            await self._fail(flight, error_object(-32603, "the answer is over the limit of the bridge"))
        except Malformed:
            problem = Problem("server.invalid_answer", f"{self._shown} did not answer in JSON-RPC")
            await self._fail(flight, problem_object(problem))
        except Exception:
            log.exception("a request failed inside the bridge")
            await self._fail(flight, error_object(-32603, "something went wrong in the bridge; see its stderr"))

    def _problem(self, flight: Flight, gone: Unreached) -> Problem:
        if gone.sent and flight.message.method not in REPEATABLE:
            return Problem("call.outcome_unknown", f"{self._shown} went away within the call: {gone.reason}")
        return Problem("endpoint.unreachable", f"{self._shown} does not answer: {gone.reason}")

    async def _fail(self, flight: Flight, error: bytes) -> None:
        if not flight.cancelled:
            await self._write(error_answer(flight.id, error))

    async def _until_answered(self, flight: Flight) -> None:
        told = False
        while not flight.cancelled:
            try:
                await self._attempt(flight)
                return
            except Unreached as failure:
                if flight.cancelled or (failure.sent and flight.message.method not in REPEATABLE):
                    raise
                gone = failure
            flight.sent = False
            if not told:
                log.warning("%s does not answer (%s); waiting for it", self._shown, gone.reason)
            told = True
            await flight.patience.wait(gone)
