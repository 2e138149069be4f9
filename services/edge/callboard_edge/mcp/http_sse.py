"""HTTP+SSE, the transport of 2024-11-05: `GET …/sse` is the stream, `POST …/message?sessionId=` what the client says.

A POST may arrive at any edge. The edge that holds the stream is named by the session id, and gets the message over the
bus: it knows the session, so order, cancellation and ownership are decided in one place, and answers of connectors
come straight to it. When it is gone nobody listens to its subject, and the POST is 404 at once.
"""

from __future__ import annotations

import asyncio
import os
import re

import nats.errors
import structlog
from nats.aio.msg import Msg

from callboard.contracts import subjects
from callboard.contracts.access import Principal
from callboard.contracts.calls import PostedHead, frame, unframe_posted
from callboard.contracts.problems import Problem, ProblemBody
from callboard.platform.bus import PROBLEM_HEADER, Bus, decode_problem, encode
from callboard_edge.mcp.answers import PING, Receive, Send, send_event, start_sse
from callboard_edge.mcp.connection import GONE, Admit, Connection, Rules
from callboard_edge.mcp.connections import Connections
from callboard_edge.mcp.envelope import Refused, parse, read_params
from callboard_edge.mcp.gate import Place, asker_of

log = structlog.get_logger()
PING_SECONDS = 15.0
POST_SECONDS = 5.0
_HOLDER = 16
_SESSION = re.compile(r"[0-9a-f]{48}")


class _EventStream:
    """The carrier: events of one response."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._open = True

    async def write(self, message: bytes) -> None:
        if self._open:
            await send_event(self._send, message)

    async def begin(self, endpoint: str) -> None:
        await start_sse(self._send)
        body = b"event: endpoint\ndata: " + endpoint.encode() + b"\n\n"
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def ping(self) -> None:
        await self._send({"type": "http.response.body", "body": PING, "more_body": True})

    async def close(self) -> None:
        self._open = False
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


class HttpSse:
    """Serves the streams of this edge, and posts of streams anywhere."""

    def __init__(self, bus: Bus, rules: Rules, connections: Connections) -> None:
        self._bus = bus
        self._rules = rules
        self._connections = connections
        # What clients see of this edge: a name that tells nothing of the machine.
        self._holder = os.urandom(_HOLDER // 2).hex()
        self._sessions: dict[str, Connection] = {}

    async def start(self) -> None:
        """Listen to what other edges were posted."""
        await self._bus.listen(subjects.posted(self._holder), self._handed_over)

    async def open(self, place: Place, principal: Principal, admit: Admit, receive: Receive, send: Send) -> None:
        """One stream, which is the session. Raises `Problem` before it is begun."""
        self._connections.check_open()
        await self._rules.playbooks.open(place, asker_of(principal))
        stream = _EventStream(send)
        id = self._holder + os.urandom(16).hex()
        connection = Connection(self._rules, id, place, principal, admit, stream, modern=False)
        watcher = asyncio.create_task(_until_gone(connection, receive))
        self._sessions[id] = connection
        with self._connections.entered(connection):
            try:
                await stream.begin(f"{place.path}/message?sessionId={id}")
                while not connection.ended.is_set():
                    await _wait(connection.ended, PING_SECONDS)
                    await stream.ping()
            finally:
                connection.end(GONE)
                del self._sessions[id]
                await connection.stop()
                watcher.cancel()
        await stream.close()

    async def post(self, place: Place, principal: Principal, session: str, body: bytes) -> None:
        """What a client posted: taken when this returns. Raises `Refused`, `Problem` (`session.unknown` and others)."""
        if not _SESSION.fullmatch(session):
            raise _unknown()
        head = PostedHead(session, principal.key_id, place.organisation, place.playbook, place.version)
        if session.startswith(self._holder):
            await self._take(head, body)
            return
        read_params(parse(body))
        try:
            subject = subjects.posted(session[:_HOLDER])
            reply = await self._bus.client.request(subject, frame(head, body), timeout=POST_SECONDS)
        except nats.errors.NoRespondersError:
            raise _unknown() from None
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise Problem("bus.unavailable", f"the stream's edge did not answer ({type(error).__name__})") from None
        if reply.headers and PROBLEM_HEADER in reply.headers:
            raise Problem.from_body(decode_problem(reply.data))

    async def _take(self, head: PostedHead, body: bytes) -> None:
        connection = self._sessions.get(head.session)
        # A session belongs to the token that opened its stream; for anybody else it does not exist.
        if connection is None or connection.principal.key_id != head.principal:
            raise _unknown()
        if connection.place[:3] != (head.organisation, head.playbook, head.version):
            raise _unknown()
        message = parse(body)
        await connection.take(message, read_params(message))

    async def _handed_over(self, message: Msg) -> None:
        problem = None
        try:
            await self._take(*unframe_posted(message.data))
        except Problem as raised:
            problem = raised.body()
        except Refused as refused:
            problem = Problem("argument.invalid", refused.message).body()
        except Exception:
            log.exception("posted_message_failed")
            problem = Problem("internal.unexpected", "something went wrong").body()
        await self._answer(message.reply, problem)

    async def _answer(self, reply: str, problem: ProblemBody | None) -> None:
        if problem is None:
            await self._bus.client.publish(reply, b"")
        else:
            await self._bus.client.publish(reply, encode(problem), headers={PROBLEM_HEADER: problem.code})


async def _until_gone(connection: Connection, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    connection.end(GONE)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return


def _unknown() -> Problem:
    return Problem("session.unknown", "there is no such session")
