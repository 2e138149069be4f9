"""The client on two descriptors: what each of its lines is. What becomes of it is for `app.py` or `web_socket.py`."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Final

import msgspec

from callboard.bridge.endpoint import Patience
from callboard.bridge.flights import Flight
from callboard.bridge.messages import (
    INVALID_REQUEST,
    NOTHING,
    Envelope,
    Malformed,
    error_answer,
    error_object,
    params_of,
    parse,
)
from callboard.bridge.stdio import TOO_LONG, Lines, Output
from callboard.bridge.streams import Listening

CANCELLED: Final = "notifications/cancelled"
_LISTEN: Final = "subscriptions/listen"


class _Cancelled(msgspec.Struct, frozen=True, rename="camel"):
    request_id: msgspec.Raw = NOTHING


_cancelled = msgspec.json.Decoder(_Cancelled).decode


class ClientSide(ABC):
    """Reads lines until the client closes its end. `wait`: seconds a request waits for an endpoint that is away."""

    def __init__(self, lines: Lines, output: Output, wait: float) -> None:
        self._lines = lines
        self.output = output
        self.wait = wait
        self.flights: dict[bytes, Flight] = {}
        self.posted: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @abstractmethod
    async def serve(self, flight: Flight, before: asyncio.Task[None] | None) -> None:
        """A request: until it is answered. `before`: what the client said before it is on its way in this task."""

    @abstractmethod
    def cancel(self, flight: Flight | None) -> bool:
        """The client gave a request up; whether the server is to be told in a message."""

    @abstractmethod
    def post(self, message: Envelope, line: bytes) -> None:
        """A notification or a response."""

    @abstractmethod
    async def farewell(self) -> None:
        """The client has gone."""

    async def run(self) -> None:
        """Until the client closes its end; then the session is ended too."""
        self._lines.start()
        self.output.start()
        try:
            async for line in self._lines:
                await self._take(line)
        finally:
            for task in self._tasks:
                task.cancel()
            await self.farewell()

    async def _take(self, line: bytes) -> None:
        try:
            if line is TOO_LONG:
                raise Malformed(INVALID_REQUEST, "the line is over the limit of the bridge")
            message = parse(line)
        except Malformed as fault:
            await self.output.write(error_answer(fault.id, error_object(fault.code, fault.message)))
            return
        if message.is_request:
            self._request(message, line)
        elif message.method != CANCELLED or self._cancel(message):
            self.post(message, line)

    def spawn(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        """Keep a task until it is done, and cancel it at the end."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _request(self, message: Envelope, line: bytes) -> None:
        kind = Listening if message.method == _LISTEN else Flight
        flight = kind(message, line, params_of(message), Patience(self.wait))
        self.flights[flight.id] = flight
        flight.task = self.spawn(asyncio.create_task(self._serve(flight, self.posted)))

    async def _serve(self, flight: Flight, before: asyncio.Task[None] | None) -> None:
        try:
            await self.serve(flight, before)
        finally:
            if self.flights.get(flight.id) is flight:
                del self.flights[flight.id]

    def _cancel(self, message: Envelope) -> bool:
        try:
            flight = self.flights.get(bytes(_cancelled(message.params).request_id))
        except msgspec.DecodeError:
            return False
        return self.cancel(flight)
