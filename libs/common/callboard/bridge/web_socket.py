"""The bridge to a WebSocket endpoint: one socket for everything, opened again when it breaks.

A session of the handshake era is begun again on the new socket with what the client said (`said.py`).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from callboard.bridge.client_side import ClientSide
from callboard.bridge.dial import Dial
from callboard.bridge.endpoint import Patience, Unreached
from callboard.bridge.flights import Delivery, Flight, Write, look_at
from callboard.bridge.messages import NOTHING, Envelope, Malformed, Refused, error_object, parse, parse_all
from callboard.bridge.said import INITIALIZED, KEPT, Said
from callboard.bridge.stdio import Lines, Output

log = logging.getLogger("callboard.bridge")
_FAREWELL_SECONDS: Final = 1.0
_IN_ORDER_SECONDS: Final = 5.0
_LASTED: Final = 1.0  # seconds; a socket that breaks sooner is waited for as if it had not been opened


class _Meta(msgspec.Struct, frozen=True, rename={"id": "io.modelcontextprotocol/subscriptionId"}):
    id: msgspec.Raw = NOTHING


class _Subscribed(msgspec.Struct, frozen=True, rename={"meta": "_meta"}):
    meta: _Meta = _Meta()


_subscribed = msgspec.json.Decoder(_Subscribed).decode


class Link(Delivery):
    """The socket: kept open while the bridge runs. What comes on it goes to the flights or to the client."""

    def __init__(self, dial: Dial, flights: dict[bytes, Flight], write: Write) -> None:
        super().__init__(dial.shown, write)
        self._dial = dial
        self._flights = flights
        self._said = Said()
        self._socket: ClientConnection | None = None
        self._refusal = b""
        self._gone = Unreached("it is not connected yet", sent=False)
        self._news = asyncio.Condition()
        self._wanted = asyncio.Event()
        self._answers: dict[bytes, asyncio.Future[None]] = {}
        self._own: set[bytes] = set()

    async def keep(self) -> None:
        """Until cancelled."""
        patience, loop = Patience(None), asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._use(await self._dial.open())
            except Refused as refused:
                await self._set(None, refusal=refused.error)
                self._wanted.clear()
                await self._wanted.wait()
                continue
            except Unreached as gone:
                self._gone = gone
            if loop.time() - began > _LASTED:
                patience.forget()
            await patience.wait(self._gone)

    async def _use(self, socket: ClientConnection) -> None:
        """From the opening of a socket to its end, which raises `Unreached`."""
        try:
            async with socket:
                if self._said.initialize:
                    await self._begin_again(socket)
                await self._set(socket)
                for message in self._said.news():
                    await self._write(message)
                while True:
                    await self._came(await socket.recv(decode=False))
        except ConnectionClosed as closed:
            reason = closed.rcvd.reason if closed.rcvd is not None else ""
            raise Unreached(reason or "the connection broke", sent=True) from None
        finally:
            await self._set(None)

    async def _begin_again(self, socket: ClientConnection) -> None:
        log.warning("the connection is a new one; beginning the session again")
        await socket.send(self._said.initialize, text=True)
        wanted = parse(self._said.initialize).raw_id
        while not (found := _only(await socket.recv(decode=False))).answers(wanted):
            continue
        if not bytes(found.result):
            raise Refused(bytes(found.error))
        self._said.initialized(self._said.initialize, bytes(found.result))
        for line in (INITIALIZED, *self._said.to_repeat()):
            self._own.add(parse(line).raw_id)
            await socket.send(line, text=True)

    async def _set(self, socket: ClientConnection | None, refusal: bytes = b"") -> None:
        async with self._news:
            self._socket, self._refusal = socket, refusal
            self._news.notify_all()
        if socket is None:
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(Unreached("the connection broke", sent=True))

    async def connected(self) -> ClientConnection:
        """The socket. Raises `Unreached` after a moment without one, `Refused` when the endpoint does not want us."""
        if not self._wanted.is_set():
            # Refused before: that is tried again.
            self._refusal = b""
            self._wanted.set()
        try:
            async with asyncio.timeout(0.5), self._news:
                await self._news.wait_for(lambda: self._socket is not None or self._refusal)
        except TimeoutError:
            raise Unreached(self._gone.reason, sent=False) from None
        if self._socket is None:
            raise Refused(self._refusal)
        return self._socket

    async def _attempt(self, flight: Flight) -> None:
        socket = await self.connected()
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answers[flight.id] = answer
        try:
            await self.send(socket, flight.line, flight)
            await answer
        finally:
            self._answers.pop(flight.id, None)

    async def send(self, socket: ClientConnection, line: bytes, flight: Flight | None = None) -> None:
        """One message. Raises `Unreached`."""
        try:
            if flight is not None:
                flight.sent = True
            await socket.send(line, text=True)
        except ConnectionClosed:
            raise Unreached("the connection broke", sent=True) from None

    async def _came(self, text: bytes) -> None:
        try:
            found = parse_all(text)
        except Malformed:
            log.warning("the server sent something that is not JSON-RPC; left out")
            return
        for envelope, raw in found:
            if envelope.method:
                for message in self._told(envelope, raw):
                    await self._write(message)
            else:
                await self._answered(envelope, raw)

    def _told(self, envelope: Envelope, raw: bytes) -> list[bytes]:
        """A notification or a question; what a subscription hears goes through its flight."""
        try:
            subscription = bytes(_subscribed(envelope.params).meta.id) if bytes(envelope.params) else b""
        except msgspec.DecodeError:
            subscription = b""
        flight = self._flights.get(subscription) if subscription else None
        return [raw] if flight is None else flight.take(envelope, raw)[0]

    async def _answered(self, envelope: Envelope, raw: bytes) -> None:
        id = envelope.raw_id
        flight, answer = self._flights.get(id), self._answers.get(id)
        if flight is None or answer is None or answer.done():
            if id not in self._own:
                log.warning("the server answered a request that was not asked here; left out")
            self._own.discard(id)
            return
        try:
            if bytes(envelope.error):
                look_at(flight, bytes(envelope.error))
            messages, _ = flight.take(envelope, raw)
        except Unreached as gone:
            answer.set_exception(gone)
            return
        if bytes(envelope.result):
            self._learn(flight, bytes(envelope.result))
        for message in messages:
            await self._write(message)
        if not answer.done():
            answer.set_result(None)

    def _learn(self, flight: Flight, result: bytes) -> None:
        if flight.message.method == "initialize" and not flight.modern:
            self._said.initialized(flight.line, result)
        elif flight.message.method in KEPT:
            self._said.remember(flight.message, flight.line)


class SocketBridge(ClientSide):
    """One client on two descriptors, one WebSocket endpoint."""

    def __init__(self, dial: Dial, lines: Lines, output: Output, wait: float) -> None:
        super().__init__(lines, output, wait)
        self._link = Link(dial, self.flights, output.write)
        self._keeping: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until the client closes its end."""
        self._keeping = asyncio.create_task(self._link.keep())
        await super().run()

    async def farewell(self) -> None:
        """Close the socket; the server cancels what is under way."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait({self._keeping}, timeout=_FAREWELL_SECONDS)

    async def serve(self, flight: Flight, before: asyncio.Task[None] | None) -> None:
        """Until it is answered; what the client said before it is sent before it."""
        if before is not None:
            await asyncio.wait({before}, timeout=_IN_ORDER_SECONDS)
        await self._link.serve(flight)

    def cancel(self, flight: Flight | None) -> bool:
        """On a socket both eras cancel by a message, and nothing is answered any more."""
        if flight is None:
            return False
        flight.cancelled = True
        if flight.task is not None:
            flight.task.cancel()
        return flight.sent

    def post(self, message: Envelope, line: bytes) -> None:
        """A notification or a response."""
        self.posted = self.spawn(asyncio.create_task(self._say(message, line, self.posted)))

    async def _say(self, message: Envelope, line: bytes, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before}, timeout=_IN_ORDER_SECONDS)
        patience = Patience(self.wait)
        try:
            while True:
                try:
                    await self._link.send(await self._link.connected(), line)
                    return
                except Unreached as gone:
                    if gone.sent:
                        raise
                    await patience.wait(gone)
        except (Unreached, Refused) as failure:
            log.warning("a %s did not reach the server: %s", message.method or "response", failure)


def _only(text: bytes) -> Envelope:
    try:
        return next(iter(parse_all(text)), (Envelope(), b""))[0]
    except Malformed:
        raise Refused(error_object(-32603, "no new session: the server does not speak JSON-RPC")) from None
