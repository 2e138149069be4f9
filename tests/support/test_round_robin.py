"""The load balancer of the tests takes turns per request, also on one connection, and changes nothing."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from tests.support.round_robin import RoundRobin

LIMIT = 5.0


async def named(name: bytes) -> asyncio.Server:
    """A server that answers each request with its name and the bytes it got, and keeps its connections."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(name + b":" + data)
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


async def test_each_request_goes_to_the_next_server() -> None:
    async with AsyncExitStack() as leaving:
        servers = [await leaving.enter_async_context(await named(name)) for name in (b"one", b"two")]
        ports = [server.sockets[0].getsockname()[1] for server in servers]
        relay = await leaving.enter_async_context(RoundRobin(ports))
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        answers = []
        for number in range(4):
            writer.write(b"%d" % number)
            answers.append(await asyncio.wait_for(reader.read(100), LIMIT))
        assert answers == [b"one:0", b"two:1", b"one:2", b"two:3"]
        assert relay.requests == dict.fromkeys(ports, 2)
        writer.close()


async def test_a_client_that_leaves_is_gone_for_the_server_too() -> None:
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        await reader.read()
        left.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, RoundRobin([server.sockets[0].getsockname()[1]]) as relay:
        _, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(b"x")
        await writer.drain()
        writer.close()
        await asyncio.wait_for(left.wait(), LIMIT)


async def test_a_server_that_leaves_is_gone_for_the_client_too() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"bye")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, RoundRobin([server.sockets[0].getsockname()[1]]) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(b"x")
        assert await asyncio.wait_for(reader.read(), LIMIT) == b"bye"
        writer.close()
