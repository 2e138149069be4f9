"""The wire of the call path: messages are handed on where their bytes are read, and written without a task.

nats-py keeps the connection: sign-in, pings, reconnecting, subscribing again. Its own way of a message is a stream that
wakes a task, and a queue with a task for each subscription; a `Direct` one is called where the socket is read. What is
published waits in nats-py's own buffer, so order and what happens while the server is away stay as they are; here it is
only written sooner and cheaper.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.transport import TcpTransport, Transport

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
        """What nats-py would call if it read the message."""
        self.take(message.subject, message.reply, message.data, b"")

    __call__ = func


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
        self.reading = False

    def put(self, subject: str, payload: bytes, reply: str) -> bool:
        """Have it written with whatever else is published in this turn of the loop, or while one read is taken.

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
            if not self.reading:
                self._loop.call_soon(self._write)
        return True

    def end_of_read(self) -> None:
        """Write what was published meanwhile: another turn of the loop would only ask the kernel once more."""
        self.reading = False
        if self._due:
            self._write()

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


class DirectReader(asyncio.Protocol):
    """Reads one connection: messages of direct subscriptions are handed on, every other line goes to nats-py, whole."""

    def __init__(self, client: Client, behind: asyncio.Protocol, writer: Writer) -> None:
        self._subscriptions = client._subs
        self._behind = behind
        self._writer = writer
        self._kept: list[bytes] = []
        self._kept_size = 0
        self._needed_size = 0

    def data_received(self, data: bytes) -> None:
        """Take what has come, and keep what is not whole yet."""
        if self._kept:
            self._kept.append(data)
            self._kept_size += len(data)
            if self._kept_size < self._needed_size:
                return
            data = b"".join(self._kept)
            self._kept.clear()
        self._writer.reading = True
        try:
            if others := self._hand_on_all(data):
                self._behind.data_received(b"".join(others))
        finally:
            self._writer.end_of_read()

    def _hand_on_all(self, data: bytes) -> list[bytes]:
        """What of `data` is for nats-py."""
        at, others = 0, []
        while at < len(data):
            line_end = data.find(_CRLF, at)
            if line_end < 0:
                self._keep(data[at:], 0)
                break
            begin = end = line_end + 2
            if data.startswith((b"MSG ", b"HMSG "), at):
                words = data[at:line_end].split()
                end += int(words[-1]) + 2
                if end > len(data):
                    self._keep(data[at:], end - at)
                    break
                if self._is_taken(words, data, begin, end - 2):
                    at = end
                    continue
            others.append(data[at:end])
            at = end
        return others

    def _keep(self, rest: bytes, needed: int) -> None:
        self._kept.append(rest)
        self._kept_size, self._needed_size = len(rest), needed

    def _is_taken(self, words: list[bytes], data: bytes, begin: int, end: int) -> bool:
        """Whether nats-py need not see the message, because it was handed on or is for nobody."""
        with_headers = words[0] == b"HMSG"
        payload = begin + int(words[-2]) if with_headers else begin
        reply = words[3] if len(words) == (6 if with_headers else 5) else b""
        subscription = self._subscriptions.get(int(words[2]))
        if subscription is None:
            return True
        if (with_headers or reply.startswith(_OF_STREAM)) and _is_smuggled(
            subscription.subject, reply, data[begin:payload]
        ):
            log.warning("message_out_of_a_stream_refused", subject=subscription.subject)
            return True
        callback = subscription._cb
        if type(callback) is not Direct:
            return False
        try:
            callback.take(words[1].decode(), reply.decode(), data[payload:end], data[begin:payload])
        except Exception:
            log.exception("message_not_taken", subject=subscription.subject)
        return True

    def eof_received(self) -> bool | None:
        """The server says no more."""
        return self._behind.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._behind.connection_lost(exc)

    def pause_writing(self) -> None:
        """The server does not keep up."""
        self._behind.pause_writing()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._behind.resume_writing()


class DirectTransport(TcpTransport):
    """What nats-py holds as its connection. Signing in reads line by line, as ever; who reads on reads directly."""

    def __init__(self, client: Client, writer: Writer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._client = client
        self._writer = writer
        self._read_directly: asyncio.WriteTransport | None = None

    def take_over(self, other: Transport | None) -> None:
        """Go on with a connection that nats-py has made by itself."""
        assert type(other) is TcpTransport, "NATS is reached over TCP, not over a WebSocket"
        self.__dict__ |= other.__dict__
        self._begin(bytes(self._client._ps.buf))
        self._client._ps.reset()

    async def read(self, buffer_size: int) -> bytes:
        """What nats-py has to see."""
        assert self._io_writer is not None
        if self._read_directly is not self._io_writer.transport:
            self._begin()  # connected again
        return await super().read(buffer_size)  # type: ignore[no-any-return]  # nats-py says nothing of it

    def _begin(self, seen: bytes = b"") -> None:
        """`seen`: the beginning of a line whose end has not come yet."""
        assert self._io_writer is not None
        transport, stream = self._io_writer.transport, cast(Any, self._io_reader)
        reader = DirectReader(self._client, cast(asyncio.Protocol, transport.get_protocol()), self._writer)
        unread = bytes(stream._buffer)
        stream._buffer.clear()
        stream._maybe_resume_transport()
        transport.set_protocol(reader)
        self._read_directly = transport
        if seen or unread:
            reader.data_received(seen + unread)


def wire(client: Client) -> Writer:
    """Read and write for this connection from here on."""
    writer = Writer(client)
    transport = DirectTransport(client, writer)
    transport.take_over(client._transport)
    client._transport = transport
    return writer
