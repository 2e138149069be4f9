"""A durable pull consumer of JetStream that notices when it, its stream or the server is gone.

nats-py's own `fetch` waits for a full batch or the whole time-out, and says nothing when the consumer was deleted.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import msgspec
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from callboard.platform.bus import Bus

REQUEST_SECONDS = 2.0
REQUEST_BYTES = 4 * 1024 * 1024
"""What is delivered at once, and so in memory; a message that is larger by itself comes alone."""
GATHER_SECONDS = 0.05
_SLACK_SECONDS = 1.0
_ENDED = {"404", "408"}
_TOO_LARGE = "409 Message Size Exceeds MaxBytes"
_STATUS = b"NATS/1.0 "


class PullLost(Exception):
    """The consumer does not answer or says that it is gone: attach again."""


class Delivered(NamedTuple):
    """One message of the stream; an empty message to `reply` acknowledges it."""

    subject: str
    reply: str
    data: bytes


class Pull:
    """One session with the durable consumer; any number of them share its messages."""

    def __init__(self, bus: Bus, jetstream: JetStreamContext, stream: str, durable: str) -> None:
        self._bus = bus
        self._jetstream = jetstream
        self._stream = stream
        self._durable = durable
        self._inbox: Subscription | None = None
        self._asked = 0
        self._wanted = 0
        self._alone = False
        self._expires = 0.0
        self._messages: list[Delivered] = []
        self._status = ""
        self._moved = asyncio.Event()

    async def attach(self) -> None:
        """Make the consumer if it is missing, and a fresh inbox; raises JetStream's errors."""
        await self.detach()
        config = ConsumerConfig(
            name=self._durable,
            durable_name=self._durable,
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=30.0,
            max_ack_pending=1_000,
        )
        await self._jetstream.add_consumer(self._stream, config)
        self._messages, self._status, self._wanted = [], "", 0
        self._inbox = await self._bus.hear(self._bus.new_inbox(), self._arrived)

    async def detach(self) -> None:
        """Close the inbox; what was delivered to it and not acknowledged is delivered again."""
        inbox, self._inbox = self._inbox, None
        if inbox is not None and not self._bus.client.is_closed:
            await inbox.unsubscribe()

    async def pending(self) -> int:
        """Messages that nobody acknowledged yet."""
        info = await self._jetstream.consumer_info(self._stream, self._durable)
        return int(info.num_pending or 0) + int(info.num_ack_pending or 0)

    async def batch(self, limit: int) -> list[Delivered]:
        """Up to `limit` messages; empty when none came for two seconds. Raises `PullLost`."""
        loop = asyncio.get_running_loop()
        if self._wanted <= 0 or loop.time() >= self._expires:
            await self._request(limit)
        until = self._expires + _SLACK_SECONDS
        while not self._messages and not self._status:
            if not await self._moves(until - loop.time()):
                raise PullLost("no answer")
        self._moved.clear()
        if self._wanted > 0 and not self._status:
            await self._moves(min(until - loop.time(), GATHER_SECONDS))
        messages, self._messages = self._messages, []
        status, self._status = self._status, ""
        if status:
            self._ended(status, bool(messages))
        return messages

    def _ended(self, status: str, any_came: bool) -> None:
        """Nothing more comes for this request."""
        none_fits = self._wanted == self._asked
        self._wanted = 0
        if status == _TOO_LARGE:
            self._alone = none_fits
        elif status[:3] not in _ENDED and not any_came:
            raise PullLost(status)

    async def done(self, message: Delivered) -> None:
        """Acknowledge a message."""
        await self._bus.publish(message.reply, b"")

    def _arrived(self, subject: str, reply: str, data: bytes, headers: bytes) -> None:
        if headers.startswith(_STATUS):
            self._status = headers[len(_STATUS) :].partition(b"\r\n")[0].decode()
        else:
            self._messages.append(Delivered(subject, reply, data))
            self._wanted -= 1
        if self._status or self._wanted <= 0 or len(self._messages) == 1:
            self._moved.set()

    async def _moves(self, within: float) -> bool:
        """Wait until the first message is here, or all of them, or word that there will be no more."""
        try:
            async with asyncio.timeout(within):
                await self._moved.wait()
        except TimeoutError:
            return False
        self._moved.clear()
        return True

    async def _request(self, limit: int) -> None:
        assert self._inbox is not None
        request = {"batch": limit, "expires": int(REQUEST_SECONDS * 1e9), "max_bytes": REQUEST_BYTES}
        if self._alone:
            limit, self._alone = 1, False
            request = {"batch": 1, "expires": request["expires"]}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._durable}"
        await self._bus.publish(subject, msgspec.json.encode(request), self._inbox.subject)
        self._asked = self._wanted = limit
        self._expires = asyncio.get_running_loop().time() + REQUEST_SECONDS
