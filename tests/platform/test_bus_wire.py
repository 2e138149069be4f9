"""The reader of the call path takes from the wire what nats-py's own would, however the bytes come in."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.protocol.parser import Parser

from callboard.contracts import subjects
from callboard.platform.bus import Bus
from callboard.platform.bus_wire import Direct, DirectReader, Writer, wire
from callboard.platform.settings import CommonSettings
from tests.support.backends import Bus as TrustedBus
from tests.support.backends import nats_server
from tests.support.waiting import PATIENCE, eventually

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


class _Behind(asyncio.Protocol):
    """What nats-py has behind the reader: it gets whole lines."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self.lines.append(data)


def _reader(client: _Client) -> tuple[DirectReader, _Behind]:
    behind = _Behind()
    writer = Writer(_Connection())  # type: ignore[arg-type]  # as much of a client as it needs
    return DirectReader(client, behind, writer), behind  # type: ignore[arg-type]


def _message(said: Any) -> bool:
    return isinstance(said, tuple)


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 61, 1000])
async def test_what_is_read_is_what_nats_py_reads(size: int, direct: bool) -> None:
    theirs, ours = _Client(), _Client()
    if direct:
        for sid in (1, 2):
            take = Direct(lambda *message, sid=sid: ours.said.append((sid, *message)))
            ours._subs[sid] = _Subscription(take)
    parser = Parser(theirs)
    for at in range(len(_STREAM)):
        await parser.parse(_STREAM[at : at + 1])
    reader, behind = _reader(ours)
    for at in range(0, len(_STREAM), size):
        reader.data_received(_STREAM[at : at + size])
    parser = Parser(ours)
    for lines in behind.lines:
        await parser.parse(lines)
        assert not parser.buf, "it gets whole lines only"
    assert len(theirs.said) == 10
    if direct:  # what is for nats-py is told later, in its order
        assert [said for said in ours.said if _message(said)] == [said for said in theirs.said if _message(said)]
        assert [said for said in ours.said if not _message(said)] == [s for s in theirs.said if not _message(s)]
    else:
        assert ours.said == theirs.said


async def test_a_message_that_cannot_be_taken_does_not_stop_the_next() -> None:
    client = _Client()

    def take(*message: Any) -> None:
        client.said.append(message)
        raise ValueError

    client._subs[1] = _Subscription(Direct(take))
    _reader(client)[0].data_received(b"MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\n")
    assert [data for _, _, data, _ in client.said] == [b"1", b"2"]


async def test_what_is_published_while_messages_are_taken_is_written_at_the_end_of_them() -> None:
    client, connection = _Client(), _Connection()
    writer = Writer(connection)  # type: ignore[arg-type]  # as much of a client as it needs
    client._subs[1] = _Subscription(Direct(lambda *message: client.said.append(writer.put("b", message[2], ""))))
    reader = DirectReader(client, _Behind(), writer)  # type: ignore[arg-type]
    reader.data_received(b"MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\nMSG a 1 1\r\n")
    assert connection.written == [b"PUB b  1\r\n1\r\nPUB b  1\r\n2\r\n"]
    assert client.said == [True, True]


@pytest.mark.parametrize("began", [b"", b"PO"])
async def test_a_connection_is_taken_over_in_the_middle_of_a_line(began: bytes) -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        transport = TcpTransport()
        await transport.connect(urlsplit(f"nats://127.0.0.1:{listener.getsockname()[1]}"), 65536, 3)
        server = stack.enter_context(listener.accept()[0])
        client = _Connected(transport)
        client._ps.buf.extend(began)
        wire(client)  # type: ignore[arg-type]  # as much of a client as it needs
        server.sendall(b"PONG\r\n"[len(began) :] + b"MSG a 1 2\r\nyo\r\n")
        assert client._transport is not None
        assert await asyncio.wait_for(client._transport.read(100), PATIENCE) == b"PONG\r\n"
        assert client.said == [b"yo"]
        client._transport.close()


class _Connected(_Client):
    def __init__(self, transport: TcpTransport) -> None:
        super().__init__()
        self._transport: TcpTransport = transport
        self._ps = Parser(self)
        self._status, self._pending = Client.CONNECTED, list[bytes]()
        self._subs[1] = _Subscription(Direct(lambda *message: self.said.append(message[2])))


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


async def test_a_connection_that_was_made_again_is_read_the_same_way(tmp_path: Path) -> None:
    with nats_server(tmp_path) as server:
        settings = CommonSettings(
            nats_url=server.url, nats_credentials=TrustedBus(server.url, server.trust).credentials("router", tmp_path)
        )
        bus = Bus("router", "router-1", settings)
        await bus.connect()
        said: list[bytes] = []
        hints = f"{subjects.HINT}.acme"
        await bus.hear(hints, lambda *message: said.append(message[2]))
        for number in range(3):
            if number:
                server.kill()
                await eventually(lambda: not bus.connected)
                server.start()
                server.wait_ready()
                await eventually(lambda: bus.connected)
            await bus.flush()
            bus.send(hints, b"%d" % number)
            await eventually(lambda n=number: len(said) == n + 1)  # type: ignore[misc]
            read_by = bus.client._transport._io_writer.transport.get_protocol()  # type: ignore[union-attr]
            assert type(read_by) is DirectReader
        assert said == [b"0", b"1", b"2"]
        await bus.close()
