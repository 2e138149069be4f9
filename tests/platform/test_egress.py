"""The way out: where it leads, and what it takes in."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator

import pytest

from callboard.kernel.addresses import PrivateHosts
from callboard.platform.egress import Egress, EgressRefused, FetchFailed
from tests.support.ways_out import LOCAL


class Server:
    """Answers every connection with the same bytes, and counts them."""

    def __init__(self, answer: bytes, then_wait: bool = False) -> None:
        self.answer = answer
        self.then_wait = then_wait
        self.heard: list[bytes] = []
        self.port = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            self.heard.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.answer)
            await writer.drain()
            if self.then_wait:
                await reader.read()
            writer.close()


@contextlib.asynccontextmanager
async def serving(answer: bytes, then_wait: bool = False) -> AsyncIterator[Server]:
    server = Server(answer, then_wait)
    listener = await asyncio.start_server(server.take, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()


def said(body: bytes, head: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def knowing(*addresses: list[str], allowed: str = "") -> Egress:
    """A resolver that says these, one after the other, and then the last one for ever."""
    left = list(addresses)

    async def resolve(host: str, port: int) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return Egress(PrivateHosts.parse(allowed), resolve)


async def test_a_document_is_fetched_from_a_host_of_ones_own() -> None:
    async with serving(said(b"{}", "X-Two: a\r\nX-Two: b\r\n")) as server:
        answer = await LOCAL.fetch("GET", f"http://localhost:{server.port}/x", {"X-Mine": "1"})
    assert (answer.status, answer.body, answer.headers["x-two"]) == (200, b"{}", "a, b")
    assert b"X-Mine: 1" in server.heard[0]
    assert b"Accept-Encoding: identity" in server.heard[0]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "0x7f000001", "2130706433", "127.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"]
)
async def test_a_private_host_in_any_spelling_is_not_reached(host: str) -> None:
    async with serving(said(b"secret")) as server:
        with pytest.raises((EgressRefused, FetchFailed)):
            await Egress(PrivateHosts()).fetch("GET", f"https://{host}:{server.port}/")
        with pytest.raises((EgressRefused, FetchFailed)):
            await Egress(PrivateHosts()).fetch("GET", f"http://{host}:{server.port}/")
    assert server.heard == []


async def test_a_name_is_resolved_once_and_what_it_means_a_moment_later_is_not_asked() -> None:
    async with serving(said(b"secret")) as server:
        rebinding = knowing(["8.8.8.8"], ["127.0.0.1"])
        assert await rebinding.addresses("evil.example", server.port) == ["8.8.8.8"]
        with pytest.raises(EgressRefused):
            await rebinding.addresses("evil.example", server.port)
        own = knowing(["127.0.0.1"], ["8.8.8.8"], allowed="*")
        assert (await own.fetch("GET", f"http://own.example:{server.port}/")).status == 200
        other = knowing(["127.0.0.1"], ["8.8.8.8"], allowed="*")
        (await other.socket("own.example", server.port)).close()


async def test_a_connection_of_a_transport_is_vetted_too() -> None:
    async with serving(said(b"secret")) as server:
        nobody = Egress(PrivateHosts())
        with pytest.raises(EgressRefused, match="not public"):
            await nobody.connect(asyncio.Protocol, "localhost", server.port, None)
        with pytest.raises(EgressRefused, match="not public"):
            await nobody.socket("localhost", server.port)
    assert server.heard == []


async def test_the_second_address_is_tried_when_the_first_does_not_answer() -> None:
    async with serving(said(b"{}")) as server:
        egress = knowing(["127.0.0.2", "127.0.0.1"], allowed="*")
        (await egress.socket("two.example", server.port)).close()
        assert (await egress.fetch("GET", f"http://two.example:{server.port}/")).status == 200


@pytest.mark.parametrize(
    "url", ["ftp://localhost/", "http://", "https://user:word@localhost/", "http://localhost:99999/", "file:///etc/x"]
)
async def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(EgressRefused, match="its URL is not valid"):
        await LOCAL.fetch("GET", url)


async def test_http_is_for_hosts_of_ones_own_only() -> None:
    with pytest.raises(EgressRefused, match="only https"):
        await knowing(["8.8.8.8"]).fetch("GET", "http://public.example/")


async def test_a_redirect_is_an_answer_and_not_a_way() -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
    async with serving(moved) as server:
        assert (await LOCAL.fetch("GET", f"http://localhost:{server.port}/")).status == 302
    assert len(server.heard) == 1


async def test_a_body_that_is_too_long_is_cut_off_while_it_comes() -> None:
    async with serving(said(b"x" * 200_000), then_wait=True) as server:
        with pytest.raises(FetchFailed, match="more than 1000 bytes"):
            await LOCAL.fetch("GET", f"http://localhost:{server.port}/", limit=1000)


async def test_a_compressed_body_is_never_unpacked() -> None:
    async with serving(said(gzip.compress(b"0" * 10_000_000), "Content-Encoding: gzip\r\n")) as server:
        with pytest.raises(FetchFailed, match="encoding"):
            await LOCAL.fetch("GET", f"http://localhost:{server.port}/")


async def test_an_answer_that_does_not_come_ends_in_time() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\n", then_wait=True) as server:
        with pytest.raises(FetchFailed, match="in time"):
            await LOCAL.fetch("GET", f"http://localhost:{server.port}/", seconds=0.2)
