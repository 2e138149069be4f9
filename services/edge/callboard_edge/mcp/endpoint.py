"""`/p/ORG/PLAYBOOK/mcp` and `/mcp`: the ASGI application that ends MCP (Streamable HTTP, both eras on one URL).

Follow one request: gate (Host, Origin, path) > token > body > era > `legacy` or `modern` rules > `relay`.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import NamedTuple
from urllib.parse import parse_qs

import msgspec
import structlog

from callboard.contracts.access import ANONYMOUS_KEY, Principal
from callboard.contracts.calls import MODERN
from callboard.contracts.problems import Problem
from callboard.kernel.permissions import can
from callboard_edge.auth.refusals import Refusals
from callboard_edge.auth.verify import Tokens
from callboard_edge.health.metrics import Metrics
from callboard_edge.mcp.address import address, address_of, remember
from callboard_edge.mcp.answers import (
    Headers,
    Receive,
    Scope,
    Send,
    refuse,
    send_empty,
    send_json,
    send_problem,
    send_refusal,
    upgrade_refusal,
)
from callboard_edge.mcp.challenges import PREFLIGHT, Challenges, readable
from callboard_edge.mcp.envelope import Refused, carry_on, parse, read_params
from callboard_edge.mcp.gate import BY_TOKEN, Gate, Place, not_opened, other_door_of, place_by_token, place_of
from callboard_edge.mcp.handshake import Handshake
from callboard_edge.mcp.http_sse import HttpSse
from callboard_edge.mcp.modern import Fault, is_modern, text_of
from callboard_edge.mcp.session_tokens import LIFETIME, PREFIX, SessionTokens, session_token_of
from callboard_edge.mcp.stateless import Stateless
from callboard_edge.mcp.web_socket import SUBPROTOCOL, WebSockets
from callboard_edge.settings import EdgeSettings
from callboard_edge.whole_answers import cycle_of

log = structlog.get_logger()
ANONYMOUS = Principal(key_id=ANONYMOUS_KEY, client="anonymous", organisation="", scopes=("use",))
_ALLOW: Headers = [(b"allow", b"GET, POST, DELETE")]
_ALLOW_OTHER: dict[str, Headers] = {
    "sse": [(b"allow", b"GET")],
    "message": [(b"allow", b"POST")],
    "ws": [(b"allow", b"GET, POST")],
}
_NO_STORE = (b"cache-control", b"no-store")
_SHORT_MEDIA = 256
"""Bytes of media types that are worth remembering; longer ones would only fill the memory."""


class BodyTooLarge(Exception):
    """The body is over the limit."""


class Carriers(NamedTuple):
    """What carries MCP besides Streamable HTTP."""

    http_sse: HttpSse
    web_sockets: WebSockets
    session_tokens: SessionTokens


class McpEndpoint:
    """The application; one per process."""

    def __init__(
        self,
        settings: EdgeSettings,
        tokens: Tokens,
        handshake: Handshake,
        stateless: Stateless,
        carriers: Carriers,
        metrics: Metrics,
        refusals: Refusals,
    ) -> None:
        self._gate = Gate(settings)
        self._limit = settings.max_body_bytes
        self._anonymous = settings.on_loopback
        self._tokens = tokens
        self._handshake = handshake
        self._stateless = stateless
        self._carriers = carriers
        self._metrics = metrics
        self._refusals = refusals
        self._challenges = Challenges(settings.public_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request, or one WebSocket."""
        raw: Headers = scope["headers"]
        headers = dict(raw)
        remember(address_of(scope))
        if scope["type"] == "websocket":
            await self._socket(scope, headers, receive, send)
            return
        origin = headers.get(b"origin")
        if origin is not None and self._gate.origin_allowed(origin):
            send = readable(send, origin)
        try:
            await self._serve(scope, headers, raw, receive, send)
        except Refused as refused:
            await send_refusal(send, refused.code, refused.message, refused.id)
        except Problem as problem:
            await send_problem(self._challenges.on(send, scope["path"]), b"null", problem, modern=True)
        except Exception:
            log.exception("mcp_request_failed", path=scope["path"])
            self._metrics.unexpected()
            await send_problem(send, b"null", Problem("internal.unexpected", "something went wrong"), modern=True)

    async def _serve(
        self, scope: Scope, headers: dict[bytes, bytes], raw: Headers, receive: Receive, send: Send
    ) -> None:
        self._check_sender(headers)
        if len(headers) != len(raw) or scope["query_string"]:
            _check_one_token(raw, scope["query_string"])
        method = scope["method"]
        if method == "OPTIONS" and b"access-control-request-method" in headers:
            await send_empty(send, 204, [*PREFLIGHT, _wanted(headers)])
            return
        place = place_of(scope["path"])
        if place is None:
            try:
                await self._other(scope, headers, receive, send)
            except Problem as problem:
                await refuse(self._challenges.on(send, scope["path"]), problem)
            return
        principal = self._remembered(headers, place) or await self._principal(headers, place)
        if place is BY_TOKEN:
            place = place_by_token(principal)
        if principal is ANONYMOUS or principal.renewed:
            # Whether the playbook takes callers without a token, and what it wants scopes for, is told by the answer.
            send = self._challenges.on(send, scope["path"])
        if method == "POST":
            try:
                await self._post(place, principal, headers, raw, receive, send)
            except Refused:
                await self._admit(place, principal)
                raise
            return
        await self._admit(place, principal)
        if method in ("GET", "DELETE") and not _names_modern(headers):
            serve = self._handshake.get if method == "GET" else self._handshake.delete
            await serve(place, principal, headers, receive, send)
        else:
            await send_empty(send, 405, _ALLOW)

    async def _admit(self, place: Place, principal: Principal) -> None:
        """Who has no token and may not come in without one is told so before anything else: 401 before 400 and 405."""
        if principal is ANONYMOUS:
            await self._handshake.admit(place, principal)

    def _check_sender(self, headers: dict[bytes, bytes]) -> None:
        if not self._gate.host_allowed(headers.get(b"host")) or not self._gate.origin_allowed(headers.get(b"origin")):
            raise Problem("auth.forbidden", "this Host or Origin is not allowed; see CALLBOARD_EDGE_ALLOWED_HOSTS")

    async def _other(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        """HTTP+SSE, and tokens for WebSockets."""
        place, door = _door_of(scope)
        principal = await self._principal(headers, place)
        carriers, method = self._carriers, scope["method"]
        if (door, method) == ("sse", "GET"):
            admit = partial(self._principal, headers, place)
            await carriers.http_sse.open(place, principal, admit, receive, send)
        elif (door, method) == ("message", "POST"):
            try:
                _check_media(headers)
                body = await self._received(headers, receive)
                session = parse_qs(scope["query_string"].decode("latin-1")).get("sessionId", [""])[0]
                await carriers.http_sse.post(place, principal, session, body)
            except (Refused, Problem):
                await self._admit(place, principal)
                raise
            await send_empty(send, 202)
        elif (door, method) == ("ws", "POST"):
            if principal is ANONYMOUS:
                raise Problem("auth.required", "a session token stands for a token; send that one")
            token = await carriers.session_tokens.issue(place, headers[b"authorization"])
            answer = {"token": token, "subprotocols": [SUBPROTOCOL, PREFIX + token], "expires_in": LIFETIME}
            await send_json(send, 200, msgspec.json.encode(answer), [_NO_STORE])
        else:
            await self._admit(place, principal)
            await send_empty(send, 405, _ALLOW_OTHER[door])

    async def _socket(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        """A WebSocket: refused before the upgrade, or served to its end."""
        await receive()
        try:
            self._check_sender(headers)
            place, door = _door_of(scope)
            if door != "ws":
                raise Problem("playbook.unknown", "a WebSocket is at /p/ORGANISATION/PLAYBOOK/ws")
            offered: list[str] = scope["subprotocols"]
            if SUBPROTOCOL not in offered:
                raise Problem("argument.invalid", f"offer the subprotocol {SUBPROTOCOL!r}")
            token = session_token_of(offered)
            if token is not None and b"authorization" not in headers:
                headers[b"authorization"] = await self._carriers.session_tokens.redeem(token, place)
            admit = partial(self._principal, headers, place)
            await self._carriers.web_sockets.serve(place, await admit(), admit, receive, send)
        except Problem as problem:
            await refuse(self._challenges.on(upgrade_refusal(send), scope["path"]), problem)
        except Exception:
            # uvicorn answers 500, or closes a socket that was accepted.
            log.exception("mcp_request_failed", path=scope["path"])
            self._metrics.unexpected()

    def _remembered(self, headers: dict[bytes, bytes], place: Place) -> Principal | None:
        """Who nobody need be asked about, and may enter; for everybody else see `_principal`."""
        header = headers.get(b"authorization")
        if header is None:
            return None
        principal = self._tokens.remembered(header.decode("latin-1"), place[:2])
        return principal if principal is not None and _opens(principal, place) else None

    async def _principal(self, headers: dict[bytes, bytes], place: Place) -> Principal:
        header = headers.get(b"authorization")
        if header is None and place is BY_TOKEN:
            raise Problem("auth.required", "what is at /mcp follows from a token, and the request has none")
        if header is None and self._anonymous:
            return ANONYMOUS
        shown = header.decode("latin-1") if header else None
        try:
            principal = await self._tokens.authenticate(shown, place[:2])
        except Problem as problem:
            self._refusals.note("mcp", problem, place.organisation, shown, address())
            raise
        if not _opens(principal, place):
            raise not_opened(principal, place.organisation, "the token does not open this playbook")
        return principal

    async def _post(
        self,
        place: Place,
        principal: Principal,
        headers: dict[bytes, bytes],
        raw: Headers,
        receive: Receive,
        send: Send,
    ) -> None:
        _check_media(headers)
        message = parse(self._here(receive) or await self._received(headers, receive))
        params = read_params(message)
        modern = is_modern(headers.get(b"mcp-protocol-version"), params)
        if b"traceparent" in headers and (params.meta or not modern):
            carry_on(params, headers[b"traceparent"])
        if not modern:
            await self._handshake.post(place, principal, message, params, headers, receive, send)
            return
        try:
            await self._stateless.post(place, principal, message, params, headers, raw, receive, send)
        except Fault as fault:
            await self._admit(place, principal)
            await send_refusal(send, fault.code, fault.message, message.raw_id, fault.data)

    def _here(self, receive: Receive) -> bytes | None:
        """The body, when all of it has come with the head and it is not too large."""
        cycle = cycle_of(receive)
        return None if cycle is None else cycle.whole_body(self._limit)

    async def _received(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        try:
            return await self._body(headers, receive)
        except TimeoutError:
            raise Refused(-32600, "the body did not come in time") from None
        except BodyTooLarge:
            raise Problem("payload.too_large", f"the body is over {self._limit} bytes") from None

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._limit:
            raise BodyTooLarge
        event = await receive()
        body: bytes = event.get("body", b"")
        if not event.get("more_body"):
            if len(body) > self._limit:
                raise BodyTooLarge
            return body
        parts, size = [body], len(body)
        while event.get("more_body"):
            event = await receive()
            parts.append(event.get("body", b""))
            size += len(parts[-1])
            if size > self._limit:
                raise BodyTooLarge
        return b"".join(parts)


def _opens(principal: Principal, place: Place) -> bool:
    return place is BY_TOKEN or can(principal, "use", place.organisation, place.playbook)


def _wanted(headers: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    return b"access-control-allow-headers", headers.get(b"access-control-request-headers", b"*")


def _check_one_token(raw: Headers, query: bytes) -> None:
    """One token, and in the header: in a URL it would stand in logs and histories (MCP basic/authorization)."""
    if b"access_token=" in query:
        raise Problem("argument.invalid", "a token does not belong into a URL; send it in the Authorization header")
    if sum(name == b"authorization" for name, _ in raw) > 1:
        raise Problem("auth.malformed", "the request has more than one Authorization header")


def _door_of(scope: Scope) -> tuple[Place, str]:
    found = other_door_of(scope["path"])
    if found is None:
        raise Problem("playbook.unknown", "an MCP endpoint is at /p/ORGANISATION/PLAYBOOK/mcp, or at /mcp")
    if b"token=" in scope["query_string"]:
        # It would stand in logs and histories (MCP basic/authorization).
        raise Problem("argument.invalid", "a token does not belong into a URL; see `POST …/ws`")
    return found


def _names_modern(headers: dict[bytes, bytes]) -> bool:
    return text_of(headers.get(b"mcp-protocol-version", b"")) == MODERN


def _check_media(headers: dict[bytes, bytes]) -> None:
    content, accept = headers.get(b"content-type", b""), headers.get(b"accept", b"*/*")
    judge = _wrong_media if len(content) + len(accept) <= _SHORT_MEDIA else _wrong_media.__wrapped__
    wrong = judge(content, accept)
    if wrong:
        raise Refused(-32600, wrong)


@lru_cache(maxsize=256)
def _wrong_media(content: bytes, accept: bytes) -> str:
    """What is wrong with these two headers; empty: nothing."""
    if content.split(b";")[0].strip().lower() != b"application/json":
        return "the Content-Type must be application/json"
    if not any(kind in accept for kind in (b"application/json", b"text/event-stream", b"*/*", b"application/*")):
        return "Accept must include application/json and text/event-stream"
    return ""
