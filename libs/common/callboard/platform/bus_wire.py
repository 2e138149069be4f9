"""The wire of the call path: messages are handed on where their bytes are read, and written without a task.

nats-py keeps the connection: sign-in, pings, reconnecting, subscribing again. A subscription of its own has a queue and
a task that waits for each message; a `Direct` one is called in place. What is published waits in nats-py's own buffer,
so order and what happens while the server is away stay as they are; here it is only written sooner and cheaper.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.protocol.parser import Parser

log = structlog.get_logger()
Take = Callable[[str, str, bytes, bytes], None]
"""Called with subject, reply (or empty), payload, and the raw headers (or empty). It may not wait."""
NO_RESPONDERS: Final = b"NATS/1.0 503"
"""How the headers begin of the answer to what nobody is subscribed to."""
_CRLF: Final = b"\r\n"
_UNWRITTEN_BYTES: Final = 256 * 1024
_OF_STREAM: Final = b"$JS."
"""How the reply subject begins of what a consumer delivers."""
_STREAM_HEADER: Final = b"\r\nNats-Stream:"
"""In the answer to a direct get, and in what a stream publishes again."""


class Direct:
    """The callback of a direct subscription. nats-py sees a coroutine function in it, which nothing calls."""

    def __init__(self, take: Take) -> None:
        self.take = take

    async def func(self, message: Msg) -> None:
        """What nats-py would call if its own parser read the message."""
        self.take(message.subject, message.reply, message.data, b"")

    __call__ = func


class DirectParser(Parser):
    """Reads messages itself, and leaves every other line to nats-py."""

    def __init__(self, client: Client) -> None:
        self._kept: list[bytes] = []
        self._kept_size = 0
        self._needed_size = 0
        self._epoch = 0
        super().__init__(client)

    def reset(self) -> None:
        """The connection is another one."""
        super().reset()
        self._kept.clear()
        self._kept_size = self._needed_size = 0
        self._epoch += 1

    async def parse(self, data: bytes = b"") -> None:
        """Take what has come, and keep what is not whole yet."""
        if self._kept:
            self._kept.append(data)
            self._kept_size += len(data)
            if self._kept_size < self._needed_size:
                return
            data = b"".join(self._kept)
            self._kept.clear()
        at, epoch = 0, self._epoch
        while at < len(data):
            line_end = data.find(_CRLF, at)
            if line_end < 0:
                self._keep(data[at:], 0)
                return
            begin = line_end + 2
            if data.startswith((b"MSG ", b"HMSG "), at):
                words = data[at:line_end].split()
                end = begin + int(words[-1])
                if end + 2 > len(data):
                    self._keep(data[at:], end + 2 - at)
                    return
                await self._hand_on(words, data, begin, end)
                begin = end + 2
            else:
                await super().parse(data[at:begin])
            if epoch != self._epoch:
                return
            at = begin

    def _keep(self, rest: bytes, needed: int) -> None:
        self._kept.append(rest)
        self._kept_size, self._needed_size = len(rest), needed

    async def _hand_on(self, words: list[bytes], data: bytes, begin: int, end: int) -> None:
        with_headers = words[0] == b"HMSG"
        payload = begin + int(words[-2]) if with_headers else begin
        reply = words[3] if len(words) == (6 if with_headers else 5) else b""
        sid = int(words[2])
        subscription = self.nc._subs.get(sid)
        if subscription is None:
            return
        if (with_headers or reply.startswith(_OF_STREAM)) and _is_smuggled(
            subscription.subject, reply, data[begin:payload]
        ):
            log.warning("message_out_of_a_stream_refused", subject=subscription.subject)
            return
        callback = subscription._cb
        if type(callback) is Direct:
            try:
                callback.take(words[1].decode(), reply.decode(), data[payload:end], data[begin:payload])
            except Exception:
                log.exception("message_not_taken", subject=subscription.subject)
            return
        await self.nc._process_msg(sid, words[1], reply, data[payload:end], data[begin:payload])


def _is_smuggled(heard: str, reply: bytes, headers: bytes) -> bool:
    """Whether a stream gives this out where rooms hear each other.

    The server lets whoever may create a consumer, or read a stream directly, choose where the messages go, whatever
    they may publish to themselves. Nothing of ours comes to a subject `cb.` that way.
    """
    return heard.startswith("cb.") and (reply.startswith(_OF_STREAM) or _STREAM_HEADER in headers)


class Writer:
    """Publishes on a connection of nats-py."""

    def __init__(self, client: Client) -> None:
        self._client: Any = client
        self._loop = asyncio.get_running_loop()
        self._due = False

    def put(self, subject: str, payload: bytes, reply: str) -> bool:
        """Have it written with whatever else is published in this turn of the loop.

        False when nats-py has to see to it: it is reconnecting or closing, or would refuse the message, or wait.
        """
        client = self._client
        size = len(payload)
        if (
            client._status != Client.CONNECTED
            or size > client._max_payload
            or client._pending_data_size + size > client._max_pending_size
        ):
            return False
        command = f"PUB {subject} {reply} {size}\r\n".encode() + payload + _CRLF
        client._pending.append(command)
        client._pending_data_size += len(command)
        if not self._due:
            self._due = True
            self._loop.call_soon(self._write)
        return True

    def _write(self) -> None:
        self._due = False
        client = self._client
        if client._status != Client.CONNECTED or not client._pending:
            return  # what waits goes out when it is connected again, or has gone out
        if client._transport._io_writer.transport.get_write_buffer_size() > _UNWRITTEN_BYTES:
            self._leave_to_flusher(client)
            return
        client._transport.writelines(client._pending)
        client._pending = []
        client._pending_data_size = 0

    def _leave_to_flusher(self, client: Any) -> None:
        """The server does not keep up: nats-py writes, and waits until it does."""
        if client._flush_queue.empty():
            client._flush_queue.put_nowait(self._loop.create_future())


def wire(client: Client) -> Writer:
    """Read and write for this connection from here on."""
    parser = DirectParser(client)
    if client._ps.buf:
        parser._keep(bytes(client._ps.buf), 0)
    client._ps = parser
    return Writer(client)
