"""The bridge to a Streamable HTTP endpoint, and the start of either bridge."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import suppress
from typing import Final

from callboard.bridge.client_side import CANCELLED, ClientSide
from callboard.bridge.dial import Dial
from callboard.bridge.endpoint import Endpoint, Patience, Unreached
from callboard.bridge.flights import Flight
from callboard.bridge.messages import Envelope, Refused
from callboard.bridge.requests import Requests
from callboard.bridge.session import Session
from callboard.bridge.stdio import Lines, Output
from callboard.bridge.streams import Following
from callboard.bridge.web_socket import SocketBridge

log = logging.getLogger("callboard.bridge")
MAX_MESSAGE: Final = 64 << 20
"""Bytes of a line, of an answer, and of one event of a stream."""
_FAREWELL_SECONDS: Final = 0.5
_IN_ORDER_SECONDS: Final = 5.0
_INITIALIZED = "notifications/initialized"


class Bridge(ClientSide):
    """One client on two descriptors, one endpoint. `wait`: seconds a request waits for an endpoint that is away."""

    def __init__(self, endpoint: Endpoint, lines: Lines, output: Output, wait: float) -> None:
        super().__init__(lines, output, wait)
        self._endpoint = endpoint
        self._session = Session(endpoint)
        self._requests = Requests(endpoint, self._session, output.write)
        self._following = Following(endpoint, self._session, output.write)
        self._session.on_renewed = self._following.renewed

    async def farewell(self) -> None:
        """End the session."""
        self._following.stop()
        with suppress(Unreached, TimeoutError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await self._session.end()
        await self._endpoint.close()

    async def serve(self, flight: Flight, before: asyncio.Task[None] | None) -> None:
        """What the client said before a request is with the server before it."""
        if before is not None and not flight.modern:
            await asyncio.wait({before}, timeout=_IN_ORDER_SECONDS)
        await self._requests.serve(flight)

    def cancel(self, flight: Flight | None) -> bool:
        """In the stateless era one cancels by closing the stream (2026-07-28, transports)."""
        if flight is None:
            return self._session.is_open
        flight.cancelled = True
        if (flight.modern or not flight.sent) and flight.task is not None:
            flight.task.cancel()
            return False
        return True

    def post(self, message: Envelope, line: bytes) -> None:
        """A notification or a response."""
        if not self._session.is_open:
            # The stateless era has no messages from the client but requests.
            log.warning("a %s outside of a session; left out", message.method or "response")
            return
        self.posted = self.spawn(asyncio.create_task(self._say(message, line, self.posted)))

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
        patience, renewed = Patience(self.wait), False
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
                if not message.method or message.method in (CANCELLED, _INITIALIZED):
                    return
            except Unreached as gone:
                await patience.wait(gone)
        if status >= 400:
            log.warning("the server refused a %s (HTTP %d)", message.method or "response", status)


async def serve(url: str, token: str, wait: float, reading: int = 0, writing: int = 1) -> None:
    """Bridge two descriptors to an endpoint until the client goes or the process is told to end."""
    output, lines = Output(writing), Lines(reading, MAX_MESSAGE)
    bridge: ClientSide
    if url.startswith(("ws:", "wss:")):
        bridge = SocketBridge(Dial(url, token, MAX_MESSAGE), lines, output, wait)
    else:
        bridge = Bridge(Endpoint(url, token, MAX_MESSAGE), lines, output, wait)
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
