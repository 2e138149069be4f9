"""A durable pull consumer of JetStream that notices when it, its stream or the server is gone.

nats-py's own `fetch` waits for a full batch or the whole time-out, and says nothing when the consumer was deleted.
"""

from __future__ import annotations

import asyncio

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

REQUEST_SECONDS = 2.0
GATHER_SECONDS = 0.1
_SLACK_SECONDS = 1.0
_ENDED = {"404", "408"}


class PullLost(Exception):
    """The consumer does not answer or says that it is gone: attach again."""


class Pull:
    """One session with the durable consumer; any number of them share its messages."""

    def __init__(self, client: Client, jetstream: JetStreamContext, stream: str, durable: str) -> None:
        self._client = client
        self._jetstream = jetstream
        self._stream = stream
        self._durable = durable
        self._inbox: Subscription | None = None
        self._wanted = 0
        self._expires = 0.0

    async def attach(self) -> None:
        """Make the consumer if it is missing, and a fresh inbox; raises JetStream's errors."""
        await self.detach()
        config = ConsumerConfig(
            name=self._durable,
            durable_name=self._durable,
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=30.0,
            max_ack_pending=10_000,
        )
        await self._jetstream.add_consumer(self._stream, config)
        self._inbox = await self._client.subscribe(self._client.new_inbox())
        self._wanted = 0

    async def detach(self) -> None:
        """Close the inbox; what was delivered to it and not acknowledged is delivered again."""
        inbox, self._inbox = self._inbox, None
        if inbox is not None and not self._client.is_closed:
            await inbox.unsubscribe()

    async def pending(self) -> int:
        """Messages that nobody acknowledged yet."""
        info = await self._jetstream.consumer_info(self._stream, self._durable)
        return int(info.num_pending or 0) + int(info.num_ack_pending or 0)

    async def batch(self, limit: int) -> list[Msg]:
        """Up to `limit` messages; empty when none came for two seconds. Raises `PullLost`."""
        loop = asyncio.get_running_loop()
        if self._wanted <= 0 or loop.time() >= self._expires:
            await self._request(limit)
        messages: list[Msg] = []
        until = self._expires + _SLACK_SECONDS
        while self._wanted > 0:
            message = await self._next(until - loop.time())
            if message is None:
                if not messages:
                    raise PullLost("no answer")
                return messages
            status = (message.headers or {}).get("Status", "")
            if status:
                self._wanted = 0
                if status not in _ENDED and not messages:
                    raise PullLost(status)
                return messages
            if not messages:
                until = min(until, loop.time() + GATHER_SECONDS)
            messages.append(message)
            self._wanted -= 1
        return messages

    async def _request(self, limit: int) -> None:
        assert self._inbox is not None
        body = msgspec.json.encode({"batch": limit, "expires": int(REQUEST_SECONDS * 1e9)})
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._durable}"
        await self._client.publish(subject, body, reply=self._inbox.subject)
        self._wanted = limit
        self._expires = asyncio.get_running_loop().time() + REQUEST_SECONDS

    async def _next(self, within: float) -> Msg | None:
        assert self._inbox is not None
        try:
            return await self._inbox.next_msg(timeout=max(within, 0.001))
        except nats.errors.TimeoutError:
            return None
