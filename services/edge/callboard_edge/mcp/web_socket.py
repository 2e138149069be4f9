"""`/p/ORG/PLAYBOOK/ws`: one JSON-RPC message per text frame, subprotocol `mcp`, both eras."""

from __future__ import annotations

import asyncio
import os

from callboard.contracts.access import Principal
from callboard.contracts.problems import Problem
from callboard_edge.mcp.answers import Receive, Send, error_message, error_object, problem_object
from callboard_edge.mcp.connection import GONE, NOT_ADMITTED, Admit, Connection, Ending, Rules
from callboard_edge.mcp.connections import AUTH, Connections
from callboard_edge.mcp.envelope import Refused, parse, read_params
from callboard_edge.mcp.gate import Place, asker_of

SUBPROTOCOL = "mcp"
NOT_TEXT = Ending(1003, "messages are text frames")


class _Socket:
    """The carrier: frames, one after the other, and the close frame after the last."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._turn = asyncio.Lock()
        self._closed = False

    async def write(self, message: bytes) -> None:
        await self._put({"type": "websocket.send", "text": message.decode()})

    async def close(self, ending: Ending) -> None:
        await self._put({"type": "websocket.close", "code": ending.code, "reason": ending.reason})

    async def _put(self, event: dict[str, object]) -> None:
        async with self._turn:
            if self._closed:
                return
            self._closed = event["type"] == "websocket.close"
            try:
                await self._send(event)
            except OSError:
                self._closed = True


class WebSockets:
    """Serves the sockets of this edge."""

    def __init__(self, rules: Rules, connections: Connections) -> None:
        self._rules = rules
        self._connections = connections

    async def serve(self, place: Place, principal: Principal, admit: Admit, receive: Receive, send: Send) -> None:
        """One socket, from its acceptance to its end. Raises `Problem` before it is accepted."""
        self._connections.check_open()
        await self._rules.playbooks.open(place, asker_of(principal))
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
        socket = _Socket(send)
        connection = Connection(self._rules, os.urandom(20).hex(), place, principal, admit, socket, modern=True)
        closer = asyncio.create_task(_closer(connection, socket))
        with self._connections.entered(connection):
            try:
                while (event := await receive())["type"] != "websocket.disconnect":
                    await _received(connection, socket, event.get("text"))
            finally:
                connection.end(GONE)
                await connection.stop()
                closer.cancel()


async def _closer(connection: Connection, socket: _Socket) -> None:
    """Close the socket once the connection has ended; at a restart what is under way gets a moment."""
    await connection.ended.wait()
    await connection.stop()
    await socket.close(connection.ending)


async def _received(connection: Connection, socket: _Socket, text: str | None) -> None:
    if text is None:
        connection.end(NOT_TEXT)
        return
    id = b"null"
    try:
        message = parse(text.encode())
        id = message.raw_id if message.is_request else b"null"
        params = read_params(message)
        # Each message meets the same check as a request of its own: a revocation that was not heard of counts here.
        connection.principal = await connection.admit()
        await connection.take(message, params)
    except Refused as refused:
        await socket.write(error_message(refused.id, error_object(refused.code, refused.message)))
    except Problem as problem:
        if problem.code in AUTH:
            connection.end(NOT_ADMITTED)
        elif id != b"null":
            await socket.write(error_message(id, problem_object(problem)))
