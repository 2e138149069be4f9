"""The events of open answers, kept so that a client can come back for what it missed, at any edge.

Kept in a JetStream stream in memory: a few minutes, bounded in number and bytes. Losing it costs a client that breaks
off the rest of its answer, which it is told; nobody else notices.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Self

import msgspec
import nats.errors
import nats.js.errors
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.client import JetStreamContext

from callboard.contracts import subjects
from callboard.contracts.problems import Problem
from callboard.contracts.replays import (
    OPENED,
    PART,
    AskCollecting,
    Collecting,
    KeptEvent,
    decode_kept,
    encode_kept,
    parts,
)
from callboard.platform.bus import Bus

log = structlog.get_logger()
_STORE_SECONDS = 1.0
_AWAY_SECONDS = 5.0
"""For so long nobody tries again after the store did not answer."""
_ASK_SECONDS = 1.0
_HEAD_ROOM = 4096
_STORING = (0.005, 0.02, 0.1, 0.5)
STORE_AWAY = (nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError)


class Replays:
    """The store, and the answers that this edge collects."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        # What clients see of this edge: a name that tells nothing of the machine.
        self.alias = os.urandom(8).hex()
        self._collected: set[str] = set()
        self._away_until = 0.0

    async def open(self, subject: str, stream: str) -> bool:
        """Begin to keep a stream; False when there is no store right now.

        Waits until the store has its first event: a client may come back to another edge at once.
        """
        if time.monotonic() < self._away_until:
            return False
        event = KeptEvent(0, OPENED, self.alias)
        try:
            reply = await self._bus.client.request(subject, encode_kept(event), timeout=_STORE_SECONDS)
            if b'"error"' in reply.data:
                raise nats.js.errors.Error
        except STORE_AWAY as error:
            self._away_until = time.monotonic() + _AWAY_SECONDS
            log.warning("replays_away", reason=type(error).__name__)
            return False
        self._collected.add(stream)
        return True

    async def keep(self, subject: str, event: KeptEvent) -> None:
        """Keep one more event; nobody waits for it."""
        try:
            for part in parts(event, self._bus.max_payload - _HEAD_ROOM):
                await self._bus.client.publish(subject, encode_kept(part))
        except (nats.errors.Error, OSError) as error:
            log.warning("event_not_kept", reason=type(error).__name__)

    def close(self, stream: str) -> None:
        """This edge does not collect it any more."""
        self._collected.discard(stream)

    def collects(self, stream: str) -> bool:
        """Whether this edge collects it."""
        return stream in self._collected

    async def is_collected(self, edge: str, stream: str) -> bool:
        """Whether that edge still does; False too when it is gone."""
        if edge == self.alias:
            return self.collects(stream)
        try:
            question = AskCollecting(stream=stream)
            return (await self._bus.ask(subjects.collecting(edge), question, Collecting, _ASK_SECONDS)).held
        except Problem:
            # While this edge itself is cut off, nothing is known of the other.
            return not self._bus.connected

    def reading(self, subject: str) -> Reading:
        """The kept events of a stream, from its first on."""
        return Reading(self._bus, subject)


class Reading:
    """Reads in the order in which the events were stored; what comes on the bus only says that there is more."""

    def __init__(self, bus: Bus, subject: str) -> None:
        self._bus = bus
        self._subject = subject
        self._store: JetStreamContext = bus.client.jetstream(timeout=_STORE_SECONDS)
        self._next = 1
        self._more = asyncio.Event()
        self._announced = self._read = -1
        self._subscription: Subscription | None = None

    async def __aenter__(self) -> Self:
        self._subscription = await self._bus.listen(self._subject, self._stored)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._subscription is not None and not self._bus.client.is_closed:
            await self._subscription.unsubscribe()

    async def _stored(self, message: Msg) -> None:
        self._announced = decode_kept(message.data).number
        self._more.set()

    def wake(self) -> None:
        """End a `wait`."""
        self._more.set()

    async def wait(self, within: float) -> bool:
        """Until something may have come; False after `within` seconds."""
        try:
            async with asyncio.timeout(within):
                await self._more.wait()
        except TimeoutError:
            return False
        return True

    async def next(self) -> KeptEvent | None:
        """The next whole event; None when there is no other yet. Raises one of STORE_AWAY."""
        self._more.clear()
        pieces: list[bytes] = []
        for pause in _STORING:
            while (event := await self._stored_next()) is not None:
                if event.part == 0:
                    pieces.clear()
                pieces.append(event.body)
                if event.kind == PART or event.part != len(pieces) - 1:
                    continue  # more of it follows, or its beginning is forgotten already
                self._read = event.number
                return msgspec.structs.replace(event, body=b"".join(pieces))
            if self._read >= self._announced and not pieces:
                break
            # What is announced may be heard before it is stored.
            await asyncio.sleep(pause)
        return None

    async def _stored_next(self) -> KeptEvent | None:
        try:
            found = await self._store.get_msg(
                subjects.STREAM_REPLAY, seq=self._next, subject=self._subject, direct=True, next=True
            )
        except nats.js.errors.NotFoundError:
            return None
        assert found.seq is not None
        self._next = found.seq + 1
        return decode_kept(found.data or b"")
