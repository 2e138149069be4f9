"""The stateless era (2026-07-28): every request brings its version, capabilities and identity with it."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from callboard.contracts.access import Principal
from callboard.contracts.calls import MODERN, RpcHead
from callboard.contracts.playbooks import Opened
from callboard.contracts.problems import Problem
from callboard.platform.telemetry import is_traceparent
from callboard_edge.health.metrics import Metrics
from callboard_edge.mcp.address import address
from callboard_edge.mcp.answers import (
    Headers,
    Receive,
    Send,
    send_empty,
    send_problem,
)
from callboard_edge.mcp.calls import Calls
from callboard_edge.mcp.envelope import INVALID_REQUEST, Message, Meta, Params, Refused
from callboard_edge.mcp.gate import Place, asker_of, call_expiry_of, scopes_of
from callboard_edge.mcp.handshake import server_info
from callboard_edge.mcp.modern import ROUTED, SUPPORTED, check
from callboard_edge.mcp.outlet import Outlet
from callboard_edge.mcp.playbooks import Playbooks
from callboard_edge.mcp.relay import HttpOutlet, relay
from callboard_edge.mcp.streams import Streams


class Stateless:
    """Serves what a client of this era sends."""

    def __init__(self, calls: Calls, playbooks: Playbooks, streams: Streams, metrics: Metrics, deadline: float) -> None:
        self._calls = calls
        self._streams = streams
        self._playbooks = playbooks
        self._metrics = metrics
        self._deadline = int(deadline * 1000)

    async def post(
        self,
        place: Place,
        principal: Principal,
        message: Message,
        params: Params,
        headers: dict[bytes, bytes],
        raw: Headers,
        receive: Receive,
        send: Send,
    ) -> None:
        """One message of a client; raises `Fault` for a broken rule of the era."""
        if message.is_response:
            raise Refused(INVALID_REQUEST, "a client sends no responses in this era", message.raw_id)
        if not message.is_request:
            # The era has no notifications from client to server: closing the stream is how one cancels.
            await send_empty(send, 202)
            return
        check(message, params, headers, raw)
        mirrored = {
            name[10:].decode("latin-1"): value.decode("latin-1")
            for name, value in headers.items()
            if name.startswith(b"mcp-param-")
        }
        outlet = HttpOutlet(message.raw_id, receive, send, modern=True)
        try:
            await self.request(place, principal, message, params, mirrored, outlet)
        except Problem as problem:
            await send_problem(send, message.raw_id, problem, modern=True)

    async def request(
        self,
        place: Place,
        principal: Principal,
        message: Message,
        params: Params,
        mirrored: dict[str, str] | None,
        outlet: Outlet,
    ) -> None:
        """One request that was checked. `mirrored`: its `Mcp-Param-*` headers; None where the carrier has none.

        Raises `Problem` or `Refused` before anything was said to the outlet.
        """
        method: str = message.method
        if method in ROUTED:
            received = time.time_ns() // 1000
            head = self._head(place, principal, message, params, mirrored, received)
            asked = bytes(message.params)
            call = await self._calls.send(head, place.organisation, place.playbook, asked, call_expiry_of(principal))
            problem = await relay(self._calls, call, outlet, modern=True)
            self._metrics.request(method, MODERN, problem, received)
            return
        asker = asker_of(principal)
        opened = await self._playbooks.open(place, asker)
        if method == "server/discover":
            await outlet.result(_discovered(opened))
        elif method == "subscriptions/listen":
            head = self._head(place, principal, message, params, mirrored, time.time_ns() // 1000)
            await self._streams.serve_listen(message, place, asker, head, opened, outlet)
        else:
            raise Problem("method.unknown", f"Method not found: {method}", method=method)

    def _head(
        self,
        place: Place,
        principal: Principal,
        message: Message,
        params: Params,
        mirrored: dict[str, str] | None,
        received: int,
    ) -> RpcHead:
        meta = params.meta
        assert isinstance(meta, Meta)
        assert isinstance(meta.client_capabilities, msgspec.Raw)
        parent: Any = meta.traceparent
        return RpcHead(
            self._calls.new_id(received),
            message.method,
            MODERN,
            principal.client,
            principal.key_id,
            received // 1000 + self._deadline,
            received,
            message.raw_id.decode(),
            "",
            place.version,
            parent if isinstance(parent, str) and is_traceparent(parent) else self._calls.new_traceparent(),
            bytes(meta.client_capabilities),
            bytes(meta.client_info),
            meta.log_level if isinstance(meta.log_level, str) else "",
            principal.organisation == "",
            mirrored,
            place.selection,
            "",
            self._calls.reached(place.organisation),
            principal.member,
            address(),
            principal.oauth_client,
            scopes_of(principal, place.organisation),
        )


def _discovered(opened: Opened) -> bytes:
    result: dict[str, Any] = {
        "supportedVersions": SUPPORTED,
        "capabilities": opened.capabilities,
        "resultType": "complete",
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": {"io.modelcontextprotocol/serverInfo": server_info(opened)},
    }
    if opened.instructions:
        result["instructions"] = opened.instructions
    return msgspec.json.encode(result)
