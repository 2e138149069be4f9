"""The same agent over every carrier that Callboard has towards clients: a journey names the way it goes."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import Client
from mcp.client.sse import sse_client
from mcp.shared.message import SessionMessage
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.bridge.desktops import desktop
from tests.support.agents import agent
from tests.support.round_robin import RoundRobin
from tests.support.stack import Stack

WAYS = (
    "http-auto",
    "http-legacy",
    "sse-legacy",
    "ws-auto",
    "ws-legacy",
    "bridge_http-auto",
    "bridge_http-legacy",
    "bridge_ws-auto",
    "bridge_ws-legacy",
)
"""Carrier and mode: `auto` speaks 2026-07-28, `legacy` 2025-11-25. HTTP+SSE is of the handshake era only."""


def mode_of(way: str) -> str:
    return way.partition("-")[2]


def socket_url(stack: Stack, organisation: str, playbook: str, edge: int = 0) -> str:
    return f"ws://127.0.0.1:{stack.port + edge}/p/{organisation}/{playbook}/ws"


@asynccontextmanager
async def agent_by(
    way: str, stack: Stack, organisation: str, playbook: str, token: str, **options: Any
) -> AsyncIterator[Client]:
    """The official client, connected to any edge."""
    carrier, _, mode = way.partition("-")
    edge = random.randrange(stack.replicas)
    http, socket = stack.endpoint(organisation, playbook, edge), socket_url(stack, organisation, playbook, edge)
    async with AsyncExitStack() as all:
        if carrier == "http":
            connecting = agent(http, token, mode, **options)
        elif carrier == "sse":
            connecting = await _over_sse(all, stack, f"/p/{organisation}/{playbook}/sse", token, mode, options)
        elif carrier == "ws":
            connecting = Client(web_socket_client(socket, token), mode=mode, **options)
        else:
            url = http if carrier == "bridge_http" else socket
            connecting = desktop(url, token, mode, errlog=sys.stderr, **options)
        yield await all.enter_async_context(connecting)


async def _over_sse(
    all: AsyncExitStack, stack: Stack, path: str, token: str, mode: str, options: dict[str, Any]
) -> Client:
    """Behind a load balancer that is not sticky: the stream is at one edge, the posts come in at all of them."""
    ports = [stack.port + number for number in range(stack.replicas)]
    balancer = await all.enter_async_context(RoundRobin(ports))
    url = f"http://127.0.0.1:{balancer.port}{path}"
    return Client(sse_client(url, headers={"Authorization": f"Bearer {token}"}, timeout=30), mode=mode, **options)


@asynccontextmanager
async def web_socket_client(
    url: str, token: str = "", **more: Any
) -> AsyncIterator[
    tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]
]:
    """A transport for the official client, which has none for WebSocket any more."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    options = {"subprotocols": ["mcp"], "additional_headers": headers, "max_size": None, **more}
    async with connect(url, **options) as socket, anyio.create_task_group() as tasks:
        came, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        outgoing, said = anyio.create_memory_object_stream[SessionMessage](0)
        tasks.start_soon(_read, socket, came)
        tasks.start_soon(_write, socket, said)
        async with incoming, outgoing:
            yield incoming, outgoing
            tasks.cancel_scope.cancel()


async def _read(socket: ClientConnection, came: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
    async with came:
        try:
            async for text in socket:
                await came.send(SessionMessage(types.jsonrpc_message_adapter.validate_json(text, by_name=False)))
        except (ConnectionClosed, anyio.BrokenResourceError):
            return


async def _write(socket: ClientConnection, said: MemoryObjectReceiveStream[SessionMessage]) -> None:
    async with said:
        async for message in said:
            body = message.message.model_dump(by_alias=True, mode="json", exclude_unset=True)
            await socket.send(json.dumps(body))
