"""The HTTP client against servers that answer in every allowed way, and some that is not allowed."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from callboard_connectors.transports.failures import InvalidAnswer, TransportFailure
from callboard_connectors.transports.http import HttpLink, target_of
from callboard_connectors.transports.http_wire import Connection, Response
from tests.support.waiting import eventually
from tests.support.ways_out import LOCAL

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
MAX = 100_000


class Canned:
    """A server that answers each request on a connection with the next of its answers."""

    def __init__(self, answers: list[bytes]) -> None:
        self.answers = answers
        self.connections = 0
        self.requests: list[bytes] = []
        self.url = ""
        self.link: HttpLink

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while self.answers:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (
                        int(line.split(b":")[1])
                        for line in head.lower().split(b"\r\n")
                        if line.startswith(b"content-length")
                    ),
                    0,
                )
                self.requests.append(head + await reader.readexactly(length))
                answer = self.answers.pop(0)
                for piece in answer.split(b"|PAUSE|"):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if b"|CLOSE|" in answer or not answer:
                    break
        writer.close()

    async def ask(self) -> bytes:
        return await self.link.body(await self.post())

    async def post(self, body: bytes = b"{}") -> Response:
        return await self.link.post(self.link.head("POST", {"A": "b"}), body)


@contextlib.asynccontextmanager
async def canned(*answers: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[Canned]:
    wanted = Canned(list(answers))
    server = await asyncio.start_server(wanted.serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    wanted.url = f"http{'s' if tls else ''}://localhost:{port}/mcp?a=b"
    wanted.link = HttpLink(wanted.url, MAX, 2.0, LOCAL)
    try:
        yield wanted
    finally:
        wanted.link.close()
        server.close()


async def test_a_connection_is_used_again() -> None:
    async with canned(OK, OK, OK) as server:
        assert [await server.ask() for _ in range(3)] == [b"{}"] * 3
        assert server.connections == 1
        assert server.requests[0] == (
            b"POST /mcp?a=b HTTP/1.1\r\nHost: " + server.link.target.authority.encode() + b"\r\nA: b\r\n"
            b"Content-Length: 2\r\n\r\n{}"
        )


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n|PAUSE|1\r\n}\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK,
        b"HTTP/1.|PAUSE|1 200 OK\r\nContent-Le|PAUSE|ngth: 2\r\n\r|PAUSE|\n{|PAUSE|}",
    ],
    ids=["chunked", "interim", "pieces"],
)
async def test_every_framing_is_understood_and_the_connection_kept(answer: bytes) -> None:
    async with canned(answer, OK) as server:
        assert await server.ask() == b"{}"
        assert await server.ask() == b"{}"
        assert server.connections == 1


async def test_a_body_without_a_length_ends_with_the_connection() -> None:
    class Closing(Canned):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"{}")
            writer.write(b"HTTP/1.0 200 OK\r\n\r\n{ }")
            writer.close()

    wanted = Closing([])
    server = await asyncio.start_server(wanted.serve, "127.0.0.1", 0)
    wanted.link = HttpLink(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", MAX, 2.0, LOCAL)
    assert await wanted.ask() == b"{ }"
    server.close()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{|CLOSE|", "within its answer"),
        (b"220 smtp ready\r\n", "not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70000, "too many headers"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n|CLOSE|", "answer"),
    ],
    ids=["nothing", "half", "other", "headers", "upgrade"],
)
async def test_a_request_that_was_sent_and_not_answered_says_so(answer: bytes, words: str) -> None:
    async with canned(answer) as server:
        with pytest.raises(TransportFailure, match=words) as failed:
            await server.ask()
        assert failed.value.sent


async def test_a_body_that_broke_off_is_not_taken_for_a_whole_one_however_late_it_is_read() -> None:
    async with canned(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{|CLOSE|") as server:
        response = await server.post()
        await eventually(lambda: response._failure)

        with pytest.raises(TransportFailure, match="within its answer"):
            await server.link.body(response, response.taken())


async def test_a_refused_connection_sent_nothing() -> None:
    async with canned(OK) as server:
        url = server.url
    with pytest.raises(TransportFailure, match="connection refused") as failed:
        await HttpLink(url, MAX, 2.0, LOCAL).ask(b"GET / HTTP/1.1\r\n")
    assert not failed.value.sent
    with pytest.raises(TransportFailure, match="host name is not known") as failed:
        await HttpLink("http://no-such-host.invalid/", MAX, 2.0, LOCAL).ask(b"GET / HTTP/1.1\r\n")
    assert not failed.value.sent


async def test_a_body_over_the_limit_is_not_read_to_its_end() -> None:
    big = b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n" + b"x" * 900_000
    async with canned(big) as server:
        with pytest.raises(InvalidAnswer, match="more than"):
            await server.ask()


async def test_a_reader_that_is_slow_makes_the_server_wait() -> None:
    size = 30 << 20
    async with canned(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size) as server:
        response = await server.post()
        (connection,) = server.link._all
        await eventually(lambda: not connection._transport.is_reading())
        first = await response.chunk()
        assert len(first) < 4 << 20
        total = len(first)
        while piece := await response.chunk():
            total += len(piece)
        assert total == size


async def test_a_cancelled_request_closes_its_connection() -> None:
    async with canned(b"HTTP/1.1 200 OK\r\nContent-", OK) as server:
        asking = asyncio.create_task(server.ask())
        await asyncio.wait({asking}, timeout=0.1)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        await eventually(lambda: not server.link._all)
        assert await server.ask() == b"{}"
        assert server.connections == 2


class Transport(asyncio.Transport):
    """As much of one as a connection that is read from touches."""

    reading = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return False

    def write(self, data: object) -> None:
        """It goes nowhere."""


async def test_an_answer_that_nobody_reads_leaves_a_connection_that_is_read_from() -> None:
    transport, free = Transport(), list[Connection]()
    connection = Connection(free.append, free.remove)
    connection.connection_made(transport)
    head = connection.request(b"")

    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 2_000_000)
    assert not transport.reading
    connection.data_received(b"x" * 1_000_000)

    assert free == [connection]
    assert transport.reading
    assert len(head.result().taken()) == 3_000_000


async def test_who_gives_up_in_the_turn_of_the_answer_does_not_take_the_next_call_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    received, both = Connection.data_received, list[asyncio.Task[Response]]()

    def data_received(connection: Connection, data: bytes) -> None:
        if len(both) != 1:
            received(connection, data)
            return
        both.append(asyncio.create_task(server.post()))
        received(connection, data)
        both[0].cancel()

    async with canned(OK, OK, OK) as server:
        assert await server.ask() == b"{}"
        monkeypatch.setattr(Connection, "data_received", data_received)
        both.append(asyncio.create_task(server.post()))
        await asyncio.wait(both)

        assert both[0].cancelled()
        assert (await both[1]).status == 200
        assert server.connections == 1


async def test_an_idle_connection_that_the_server_closed_is_not_used() -> None:
    async with canned(OK, OK) as server:
        await server.ask()
        for connection in tuple(server.link._all):
            connection.close()
        await eventually(lambda: not server.link._all)
        assert await server.ask() == b"{}"
        assert server.connections == 2


@pytest.mark.parametrize("bad", [{"X": "a\r\nEvil: 1"}, {"X Y": "a"}, {"": "a"}, {"X": "a\0"}])
async def test_a_header_cannot_smuggle_another(bad: dict[str, str]) -> None:
    with pytest.raises(TransportFailure, match="not allowed") as failed:
        HttpLink("http://localhost/", MAX, 1.0, LOCAL).head("POST", bad)
    assert not failed.value.sent


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "authority"),
    [
        ("http://localhost:8080/mcp", "localhost", 8080, "/mcp", "localhost:8080"),
        ("https://example.com", "example.com", 443, "/", "example.com"),
        ("http://[::1]:9/a b?q=ü#f", "::1", 9, "/a%20b?q=%C3%BC", "[::1]:9"),
        ("https://bücher.example/x%20y", "xn--bcher-kva.example", 443, "/x%20y", "xn--bcher-kva.example"),
    ],
)
def test_a_url_is_taken_apart(url: str, host: str, port: int, path: str, authority: str) -> None:
    target = target_of(url)
    assert (target.host, target.port, target.path, target.authority) == (host, port, path, authority)


def certificate(directory: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "cert.pem", directory / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


async def test_tls_is_spoken_and_a_certificate_that_is_not_trusted_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    async with canned(OK, OK, tls=context) as server:
        with pytest.raises(TransportFailure, match="certificate was not accepted") as failed:
            await server.ask()
        assert not failed.value.sent
        trusting: Callable[[], ssl.SSLContext] = lambda: ssl.create_default_context(cafile=str(cert))  # noqa: E731
        monkeypatch.setattr("callboard_connectors.transports.http.tls", trusting)
        assert [await server.ask() for _ in range(2)] == [b"{}", b"{}"]
