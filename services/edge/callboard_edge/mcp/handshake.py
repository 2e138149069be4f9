"""The handshake era (2024-11-05 to 2025-11-25): initialize, sessions, the GET stream, and requests on a session."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import msgspec

import callboard
from callboard.contracts.access import Principal
from callboard.contracts.calls import HANDSHAKE_VERSIONS, LEGACY, AnswerHead, RpcHead, worker_of
from callboard.contracts.playbooks import Opened
from callboard.contracts.problems import Problem
from callboard.kernel.names import is_restricted
from callboard.platform.telemetry import is_traceparent
from callboard_edge.health.metrics import Metrics
from callboard_edge.mcp.address import address
from callboard_edge.mcp.answers import (
    Receive,
    Send,
    error_message,
    error_object,
    result_message,
    send_empty,
    send_json,
    send_problem,
)
from callboard_edge.mcp.calls import Calls
from callboard_edge.mcp.envelope import INVALID_REQUEST, Message, Meta, Params, Refused
from callboard_edge.mcp.event_ids import LONGEST_REQUEST_ID, parse
from callboard_edge.mcp.gate import Place, asker_of, call_expiry_of, scopes_of
from callboard_edge.mcp.modern import ROUTED
from callboard_edge.mcp.outlet import Outlet
from callboard_edge.mcp.playbooks import Playbooks
from callboard_edge.mcp.relay import HttpOutlet, relay
from callboard_edge.mcp.resume import Resume
from callboard_edge.mcp.sessions import Session, Sessions
from callboard_edge.mcp.streams import MAX_WATCHED, Streams

LOG_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
_EMPTY = b"{}"
MAX_INTRODUCTION = 16 * 1024
"""Bytes of clientInfo and capabilities: they are kept as long as the session."""
Keep = Callable[[Session], Awaitable[None]]
"""Takes a session that the client changed."""


class _Initialize(msgspec.Struct, rename="camel"):
    protocol_version: str
    capabilities: msgspec.Raw = msgspec.Raw(b"{}")
    client_info: msgspec.Raw = msgspec.Raw(b"{}")


class _Subscribe(msgspec.Struct):
    uri: str


class _SetLevel(msgspec.Struct):
    level: str


class _Cancelled(msgspec.Struct, rename="camel"):
    request_id: msgspec.Raw
    reason: str = ""


class Handshake:
    """Serves what a client of this era sends."""

    def __init__(
        self,
        calls: Calls,
        playbooks: Playbooks,
        sessions: Sessions,
        streams: Streams,
        resume: Resume,
        metrics: Metrics,
        deadline: float,
    ) -> None:
        self._calls = calls
        self._playbooks = playbooks
        self._sessions = sessions
        self._streams = streams
        self._resume = resume
        self._metrics = metrics
        self._deadline = int(deadline * 1000)

    async def admit(self, place: Place, principal: Principal) -> None:
        """Raise `auth.required` unless the playbook takes callers without a token."""
        await self._playbooks.open(place, asker_of(principal))

    async def post(
        self,
        place: Place,
        principal: Principal,
        message: Message,
        params: Params,
        headers: dict[bytes, bytes],
        receive: Receive,
        send: Send,
    ) -> None:
        """One message of a client."""
        try:
            if message.method == "initialize" and message.is_request:
                session, result = await self.begin(place, principal, message)
                session = await self._sessions.create(session)
                id = (b"mcp-session-id", session.id.encode())
                await send_json(send, 200, result_message(message.raw_id, result), [id])
                return
            found = await self._session(place, principal, headers, message, send)
            if found is None:
                return
            session = found
            if message.is_request:
                outlet = self._outlet(session, message, headers.get(b"accept", b""), receive, send)
                try:
                    await self.request(place, session, principal, message, params, outlet, self._sessions.update)
                finally:
                    outlet.close()
                return
            if message.is_response:
                await self.answered(session, principal, message)
            elif message.method == "notifications/cancelled":
                await self._cancelled(session, message)
            await send_empty(send, 202)
        except Problem as problem:
            await send_problem(send, message.raw_id, problem, modern=False)

    def _outlet(self, session: Session, message: Message, accept: bytes, receive: Receive, send: Send) -> HttpOutlet:
        stream = prefers_stream(accept)
        if resumable(session, message, accept):
            return self._resume.outlet(session, message.raw_id, receive, send, stream=stream)
        return HttpOutlet(message.raw_id, receive, send, modern=False, stream=stream)

    async def begin(self, place: Place, principal: Principal, message: Message) -> tuple[Session, bytes]:
        """`initialize`: a session that has no id yet, and the raw result."""
        try:
            wanted = msgspec.json.decode(message.params, type=_Initialize)
        except msgspec.ValidationError as error:
            raise Refused(-32602, f"params of initialize: {error}", message.raw_id) from None
        if len(bytes(wanted.client_info)) + len(bytes(wanted.capabilities)) > MAX_INTRODUCTION:
            raise Problem("argument.invalid", f"clientInfo and capabilities are over {MAX_INTRODUCTION} bytes")
        opened = await self._playbooks.open(place, asker_of(principal))
        protocol = wanted.protocol_version if wanted.protocol_version in HANDSHAKE_VERSIONS else LEGACY
        session = Session(
            id="",
            organisation=place.organisation,
            playbook=place.playbook,
            version=place.version,
            principal=principal.key_id,
            protocol=protocol,
            capabilities=wanted.capabilities,
            client_info=wanted.client_info,
            etags=opened.etags,
            client=principal.client,
            oauth_client=principal.oauth_client,
        )
        return session, _initialized(protocol, opened)

    async def _session(
        self, place: Place, principal: Principal, headers: dict[bytes, bytes], message: Message, send: Send
    ) -> Session | None:
        id = headers.get(b"mcp-session-id")
        if id is None:
            if principal.organisation == "":
                await self.admit(place, principal)
            text = "Missing Mcp-Session-Id: begin with initialize, or speak 2026-07-28"
            raise Refused(INVALID_REQUEST, text, message.raw_id)
        version = headers.get(b"mcp-protocol-version")
        if version is not None and version.decode("latin-1") not in HANDSHAKE_VERSIONS:
            raise Refused(INVALID_REQUEST, "Unsupported protocol version", message.raw_id)
        session = await self._sessions.find(id.decode("latin-1"), principal)
        if session is None or (session.organisation, session.playbook, session.version) != place[:3]:
            if principal.organisation == "":
                await self.admit(place, principal)
            error = error_object(-32001, "Session not found: initialize again")
            await send_json(send, 404, error_message(message.raw_id, error))
            return None
        return session

    async def request(
        self,
        place: Place,
        session: Session,
        principal: Principal,
        message: Message,
        params: Params,
        outlet: Outlet,
        keep: Keep,
    ) -> None:
        """One request within a session; raises `Problem` or `Refused` before anything was said to the outlet."""
        method: str = message.method
        if method in ROUTED or method == "tasks/result":  # which the stateless era does not have
            received = time.time_ns() // 1000
            head = self._head(place, session, principal, message, params, received)
            asked = bytes(message.params)
            call = await self._calls.send(head, place.organisation, place.playbook, asked, call_expiry_of(principal))
            problem = await relay(self._calls, call, outlet, modern=False)
            self._metrics.request(method, LEGACY, problem, received)
        elif method == "ping":
            await outlet.result(_EMPTY)
        elif method in ("resources/subscribe", "resources/unsubscribe"):
            await self._subscribe(place, session, principal, message, keep)
            await outlet.result(_EMPTY)
        elif method == "logging/setLevel":
            await self._set_level(session, message, keep)
            await outlet.result(_EMPTY)
        else:
            raise Problem("method.unknown", f"Method not found: {method}", method=method)

    def _head(
        self, place: Place, session: Session, principal: Principal, message: Message, params: Params, received: int
    ) -> RpcHead:
        meta = params.meta if isinstance(params.meta, Meta) else None
        parent = meta.traceparent if meta is not None and isinstance(meta.traceparent, str) else ""
        return RpcHead(
            self._calls.new_id(received),
            message.method,
            LEGACY,
            principal.client,
            principal.key_id,
            received // 1000 + self._deadline,
            received,
            message.raw_id.decode(),
            session.id,
            place.version,
            parent if is_traceparent(parent) else self._calls.new_traceparent(),
            bytes(session.capabilities),
            bytes(session.client_info),
            session.log_level,
            principal.organisation == "",
            selection=place.selection,
            reached=self._calls.reached(place.organisation),
            member=principal.member,
            address=address(),
            oauth_client=principal.oauth_client,
            scopes=scopes_of(principal, place.organisation),
        )

    async def _subscribe(
        self, place: Place, session: Session, principal: Principal, message: Message, keep: Keep
    ) -> None:
        try:
            uri = msgspec.json.decode(message.params, type=_Subscribe).uri
        except msgspec.ValidationError as error:
            raise Refused(-32602, f"params of {message.method}: {error}", message.raw_id) from None
        subscriptions = dict(session.subscriptions)
        if message.method == "resources/unsubscribe":
            subscriptions.pop(uri, None)
        elif len(subscriptions) >= MAX_WATCHED:
            raise Problem("argument.invalid", f"a session subscribes to at most {MAX_WATCHED} resources")
        else:
            subscriptions[uri] = await self._playbooks.owner(place, uri, asker_of(principal, session.id))
        if subscriptions != session.subscriptions:
            await keep(msgspec.structs.replace(session, subscriptions=subscriptions))
        if uri in subscriptions:
            await self._streams.subscribed(place, uri, subscriptions[uri])

    async def _set_level(self, session: Session, message: Message, keep: Keep) -> None:
        try:
            level = msgspec.json.decode(message.params, type=_SetLevel).level
        except msgspec.ValidationError as error:
            raise Refused(-32602, f"params of logging/setLevel: {error}", message.raw_id) from None
        if level not in LOG_LEVELS:
            raise Problem("argument.invalid", f"`level` must be one of {', '.join(LOG_LEVELS)}")
        await keep(msgspec.structs.replace(session, log_level=level))

    async def _cancelled(self, session: Session, message: Message) -> None:
        try:
            cancelled = msgspec.json.decode(message.params, type=_Cancelled)
        except msgspec.ValidationError:
            return
        request_id = bytes(cancelled.request_id).decode()
        await self._calls.cancel_request(session.id, request_id, cancelled.reason[:200])

    async def answered(self, session: Session, principal: Principal, message: Message) -> None:
        """What the client answers to a question goes to the worker that asked, which its id names."""
        try:
            token = msgspec.json.decode(message.raw_id, type=str)
        except msgspec.ValidationError:
            return
        worker = worker_of(token)
        if worker is not None and is_restricted(worker):
            head = AnswerHead(token, session.id, principal.key_id)
            await self._calls.answer(worker, head, message.outcome())

    async def get(
        self, place: Place, principal: Principal, headers: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        """The stream on which the server speaks by itself."""
        if b"text/event-stream" not in headers.get(b"accept", b""):
            raise Refused(INVALID_REQUEST, "GET serves text/event-stream; say so in Accept")
        session = await self._session(place, principal, headers, Message(), send)
        if session is None:
            return
        last = headers.get(b"last-event-id") if session.protocol == LEGACY else None
        after = parse(last) if last else None
        if last and after is None:
            raise Refused(INVALID_REQUEST, "Last-Event-ID is no id of this server")
        if after is not None and after.request:
            await self._resume.serve(session, after, receive, send)
        else:
            await self._streams.serve_get(place, asker_of(principal, session.id), session, after, receive, send)

    async def delete(
        self, place: Place, principal: Principal, headers: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        """End a session."""
        session = await self._session(place, principal, headers, Message(), send)
        if session is not None:
            await self._sessions.end(session)
            await send_empty(send, 204)


def resumable(session: Session, message: Message, accept: bytes) -> bool:
    """Whether a client can come back for the rest of an answer; older revisions know no events without data."""
    return (
        session.protocol == LEGACY
        and b"text/event-stream" in accept
        and message.method in ROUTED
        and len(message.raw_id) <= LONGEST_REQUEST_ID
    )


def prefers_stream(accept: bytes) -> bool:
    """Whether a client names event streams before JSON, or does not name JSON at all."""
    stream, json = accept.find(b"text/event-stream"), accept.find(b"application/json")
    return stream >= 0 and (json < 0 or stream < json)


def _initialized(protocol: str, opened: Opened) -> bytes:
    capabilities = msgspec.json.decode(opened.capabilities, type=dict[str, msgspec.Raw])
    if protocol == LEGACY and bytes(opened.tasks) != _EMPTY:
        capabilities["tasks"] = opened.tasks
    result: dict[str, object] = {
        "protocolVersion": protocol,
        "capabilities": capabilities,
        "serverInfo": server_info(opened),
    }
    if opened.instructions:
        result["instructions"] = opened.instructions
    return msgspec.json.encode(result)


def server_info(opened: Opened) -> dict[str, str]:
    """How Callboard names itself: as a gateway, with the title of the playbook."""
    info = {"name": "callboard", "version": callboard.__version__}
    if opened.title:
        info["title"] = opened.title
    return info
