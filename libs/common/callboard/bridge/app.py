"""The bridge itself: what each line of the client is, and where it goes."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import suppress
from typing import Final

import msgspec

from callboard.bridge.endpoint import Endpoint, Patience, Unreached
from callboard.bridge.messages import (
    INVALID_REQUEST,
    NOTHING,
    Envelope,
    Malformed,
    Refused,
    error_answer,
    error_object,
    params_of,
    parse,
)
from callboard.bridge.requests import Flight, Requests
from callboard.bridge.session import Session
from callboard.bridge.stdio import TOO_LONG, Lines, Output
from callboard.bridge.streams import Following, Listening

log = logging.getLogger("callboard.bridge")
MAX_MESSAGE: Final = 64 << 20
"""Bytes of a line, of an answer, and of one event of a stream."""
_FAREWELL_SECONDS: Final = 0.5
_IN_ORDER_SECONDS: Final = 5.0
_LISTEN, _CANCELLED, _INITIALIZED = "subscriptions/listen", "notifications/cancelled", "notifications/initialized"


class _Cancelled(msgspec.Struct, frozen=True, rename="camel"):
    request_id: msgspec.Raw = NOTHING


_cancelled = msgspec.json.Decoder(_Cancelled).decode


class Bridge:
    """One client on two descriptors, one endpoint. `wait`: seconds a request waits for an endpoint that is away."""

    def __init__(self, endpoint: Endpoint, lines: Lines, output: Output, wait: float) -> None:
        self._endpoint = endpoint
        self._lines = lines
        self._output = output
        self._wait = wait
        self._session = Session(endpoint)
        self._requests = Requests(endpoint, self._session, output.write)
        self._following = Following(endpoint, self._session, output.write)
        self._session.on_renewed = self._following.renewed
        self._flights: dict[bytes, Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._posted: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until the client closes its end; then the session is ended too."""
        self._lines.start()
        self._output.start()
        try:
            async for line in self._lines:
                await self._take(line)
        finally:
            self._following.stop()
            for task in self._tasks:
                task.cancel()
            with suppress(Unreached, TimeoutError):
                async with asyncio.timeout(_FAREWELL_SECONDS):
                    await self._session.end()
            await self._endpoint.close()

    async def _take(self, line: bytes) -> None:
        try:
            if line is TOO_LONG:
                raise Malformed(INVALID_REQUEST, f"the line is over {MAX_MESSAGE} bytes")
            message = parse(line)
        except Malformed as fault:
            await self._output.write(error_answer(fault.id, error_object(fault.code, fault.message)))
            return
        if message.is_request:
            self._request(message, line)
        elif message.method != _CANCELLED or self._cancel(message):
            self._post(message, line)

    def _spawn(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _request(self, message: Envelope, line: bytes) -> None:
        kind = Listening if message.method == _LISTEN else Flight
        flight = kind(message, line, params_of(message), Patience(self._wait))
        self._flights[flight.id] = flight
        flight.task = self._spawn(asyncio.create_task(self._serve(flight, self._posted)))

    async def _serve(self, flight: Flight, before: asyncio.Task[None] | None) -> None:
        """What the client said before a request is with the server before it."""
        try:
            if before is not None and not flight.modern:
                await asyncio.wait({before}, timeout=_IN_ORDER_SECONDS)
            await self._requests.serve(flight)
        finally:
            if self._flights.get(flight.id) is flight:
                del self._flights[flight.id]

    def _cancel(self, message: Envelope) -> bool:
        """Give up a request; whether the server is to be told in a message.

        In the stateless era one cancels by closing the stream (2026-07-28, transports).
        """
        try:
            flight = self._flights.get(bytes(_cancelled(message.params).request_id))
        except msgspec.DecodeError:
            return False
        if flight is None:
            return self._session.is_open
        flight.cancelled = True
        if (flight.modern or not flight.sent) and flight.task is not None:
            flight.task.cancel()
            return False
        return True

    def _post(self, message: Envelope, line: bytes) -> None:
        if not self._session.is_open:
            # The stateless era has no messages from the client but requests.
            log.warning("a %s outside of a session; left out", message.method or "response")
            return
        self._posted = self._spawn(asyncio.create_task(self._say(message, line, self._posted)))

    async def _say(self, message: Envelope, line: bytes, before: asyncio.Task[None] | None) -> None:
        """POST a notification or a response, in the order in which the client said them."""
        if before is not None:
            await asyncio.wait({before}, timeout=_IN_ORDER_SECONDS)
        try:
            await self._say_until_heard(message, line)
        except (Unreached, Refused) as failure:
            log.warning("a %s did not reach the server: %s", message.method or "response", failure)
        if message.method == _INITIALIZED:
            self._following.start()

    async def _say_until_heard(self, message: Envelope, line: bytes) -> None:
        patience, renewed = Patience(self._wait), False
        while True:
            async with self._session.opening:
                headers, generation = self._session.headers(), self._session.generation
            try:
                async with self._endpoint.exchange("POST", headers, line) as answer:
                    status = answer.status
                if status in (429, 502, 503, 504):
                    raise Unreached(f"HTTP {status}", sent=True)
                if status != 404 or not self._session.has_id or renewed:
                    break
                # A new session gets its `initialized` from `renew`, and has asked no questions yet.
                await self._session.renew(generation)
                renewed = True
                if not message.method or message.method in (_CANCELLED, _INITIALIZED):
                    return
            except Unreached as gone:
                await patience.wait(gone)
        if status >= 400:
            log.warning("the server refused a %s (HTTP %d)", message.method or "response", status)


async def serve(url: str, token: str, wait: float, reading: int = 0, writing: int = 1) -> None:
    """Bridge two descriptors to an endpoint until the client goes or the process is told to end."""
    endpoint = Endpoint(url, token, MAX_MESSAGE)
    output = Output(writing)
    bridge = Bridge(endpoint, Lines(reading, MAX_MESSAGE), output, wait)
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    with suppress(NotImplementedError):
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, told.set)
    running = asyncio.create_task(bridge.run())
    ends = {running, asyncio.create_task(told.wait()), asyncio.create_task(output.closed.wait())}
    _, pending = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    with suppress(asyncio.CancelledError):
        await running


def private_stdout() -> int:
    """A descriptor for messages; whatever else writes to stdout from now on goes to stderr."""
    own = os.dup(1)
    os.dup2(2, 1)
    return own
