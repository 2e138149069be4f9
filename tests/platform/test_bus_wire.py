"""The reader of the call path takes from the wire what nats-py's own would, however the bytes come in."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from nats.aio.client import Client
from nats.protocol.parser import Parser

from callboard.platform.bus_wire import Direct, DirectParser, Writer

_STREAM = (
    b'INFO {"server_id":"x"}\r\n'
    b"PING\r\n"
    b"MSG a.b 1 5\r\nhello\r\n"
    b"MSG a.b 1 reply.to 7\r\n1\r\nMSG \r\n"
    b"PONG\r\n"
    b"HMSG a.c 2 22 27\r\nNATS/1.0\r\nkey: val\r\n\r\nworld\r\n"
    b"HMSG a.c 2 r 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"
    b"+OK\r\n"
    b"MSG gone 9 2\r\nxx\r\n"
    b"MSG a.b 1 0\r\n\r\n"
    b"-ERR 'Slow Consumer'\r\n"
    b"MSG a.c 2 4\r\nlast\r\n"
)


class _Subscription:
    def __init__(self, callback: Any) -> None:
        self._cb = callback
        self.subject = "a"


class _Client:
    """What a parser needs of nats-py's client: notes what it is told."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self._subs: dict[int, _Subscription] = {1: _Subscription(None), 2: _Subscription(None)}

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        if sid in self._subs:
            self.said.append((sid, subject.decode(), reply.decode(), data, headers or b""))

    async def _process_ping(self) -> None:
        self.said.append("ping")

    async def _process_pong(self) -> None:
        self.said.append("pong")

    async def _process_info(self, info: Any) -> None:
        self.said.append(info)

    async def _process_err(self, text: str) -> None:
        self.said.append(text)


async def _read(parser: Any, size: int) -> None:
    for at in range(0, len(_STREAM), size):
        await parser.parse(_STREAM[at : at + size])


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 61, 1000])
async def test_what_is_read_is_what_nats_py_reads(size: int, direct: bool) -> None:
    theirs, ours = _Client(), _Client()
    if direct:
        for sid in (1, 2):
            take = Direct(lambda *message, sid=sid: ours.said.append((sid, *message)))
            ours._subs[sid] = _Subscription(take)
    await _read(Parser(theirs), 1)
    await _read(DirectParser(ours), size)  # type: ignore[arg-type]  # as much of a client as it needs
    assert ours.said == theirs.said
    assert len(theirs.said) == 10


async def test_a_message_that_cannot_be_taken_does_not_stop_the_next() -> None:
    client = _Client()

    def take(*message: Any) -> None:
        client.said.append(message)
        raise ValueError

    client._subs[1] = _Subscription(Direct(take))
    await DirectParser(client).parse(b"MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\n")  # type: ignore[arg-type]
    assert [data for _, _, data, _ in client.said] == [b"1", b"2"]


async def test_what_a_lost_connection_left_half_said_is_forgotten() -> None:
    client = _Client()
    parser = DirectParser(client)  # type: ignore[arg-type]
    await parser.parse(b"MSG a 1 5\r\nhe")
    parser.reset()
    await parser.parse(b"MSG a 1 2\r\nyo\r\n")
    assert client.said == [(1, "a", "", b"yo", b"")]


async def test_nothing_of_a_lost_connection_is_read_after_its_end() -> None:
    client = _Client()
    parser = DirectParser(client)  # type: ignore[arg-type]

    async def lost(text: str) -> None:
        await asyncio.sleep(0)
        parser.reset()

    client._process_err = lost  # type: ignore[method-assign]
    await parser.parse(b"-ERR 'Stale Connection'\r\nMSG a 1 2\r\nxx\r\n")
    assert client.said == []


class _Connection:
    """As much of a connected client, and of its transport, as a writer needs."""

    def __init__(self) -> None:
        self._status = Client.CONNECTED
        self._max_payload, self._max_pending_size = 100, 1000
        self._pending: list[bytes] = []
        self._pending_data_size = 0
        self._flush_queue: asyncio.Queue[Any] = asyncio.Queue()
        self._transport = self._io_writer = self.transport = self
        self.unwritten = 0
        self.written: list[bytes] = []

    def get_write_buffer_size(self) -> int:
        return self.unwritten

    def writelines(self, lines: list[bytes]) -> None:
        self.written.append(b"".join(lines))


async def test_what_is_published_in_one_turn_is_written_at_once_and_in_order() -> None:
    connection = _Connection()
    writer = Writer(connection)  # type: ignore[arg-type]  # as much of a client as it needs
    connection._pending.append(b"SUB a  1\r\n")
    assert writer.put("a", b"1", "")
    assert writer.put("b", b"22", "inbox")
    assert connection.written == []
    await asyncio.sleep(0)
    assert connection.written == [b"SUB a  1\r\nPUB a  1\r\n1\r\nPUB b inbox 2\r\n22\r\n"]
    assert (connection._pending, connection._pending_data_size) == ([], 0)


async def test_what_is_published_while_the_connection_breaks_waits_for_the_next() -> None:
    connection = _Connection()
    writer = Writer(connection)  # type: ignore[arg-type]  # as much of a client as it needs
    assert writer.put("a", b"1", "")
    connection._status = Client.RECONNECTING
    await asyncio.sleep(0)
    assert connection.written == []
    assert connection._pending == [b"PUB a  1\r\n1\r\n"]
    assert not writer.put("a", b"2", "")


@pytest.mark.parametrize(("waiting", "size"), [(0, 101), (950, 60)])
async def test_what_nats_py_would_refuse_or_wait_for_is_left_to_it(waiting: int, size: int) -> None:
    connection = _Connection()
    connection._pending_data_size = waiting
    assert not Writer(connection).put("a", b"x" * size, "")  # type: ignore[arg-type]  # as much of a client as it needs
    assert connection._pending == []


async def test_a_server_that_does_not_keep_up_is_waited_for() -> None:
    connection = _Connection()
    connection.unwritten = 1 << 20
    assert Writer(connection).put("a", b"1", "")  # type: ignore[arg-type]  # as much of a client as it needs
    await asyncio.sleep(0)
    assert connection.written == []
    assert connection._flush_queue.qsize() == 1
