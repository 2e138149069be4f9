"""Agree on the era with an upstream: `server/discover` first, then the handshake.

Spec: 2026-07-28 basic/versioning; 2025-11-25 basic/lifecycle. An outage is never a verdict on the era.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import msgspec

import callboard
from callboard.contracts.calls import LEGACY, MODERN
from callboard.kernel.extensions import UI, UI_MIME_TYPE
from callboard_connectors.sessions.domain import (
    META_CAPABILITIES,
    META_CLIENT_INFO,
    META_VERSION,
    Incompatible,
    Mirror,
    Opening,
    Verdict,
    names_modern,
    opening_of_initialize,
    verdict_of_discover,
    verdict_of_refusal,
)
from callboard_connectors.transports.envelope import RpcRefused
from callboard_connectors.transports.failures import InvalidAnswer, SessionUnknown, StatusRefused, TransportFailure

CLIENT_INFO = {"name": "callboard", "version": callboard.__version__}
# What all clients share is listed as for one that can show apps: some servers hide them from others.
OWN_CAPABILITIES: dict[str, Any] = {"extensions": {UI: {"mimeTypes": [UI_MIME_TYPE]}}}
OWN_META: dict[str, Any] = {
    META_VERSION: MODERN,
    META_CLIENT_INFO: CLIENT_INFO,
    META_CAPABILITIES: OWN_CAPABILITIES,
}
_DISCOVER_SECONDS = 3.0


class Unagreed(Protocol):
    """A connection before the era is agreed."""

    async def ask_as(self, version: str, method: str, params: dict[str, object], within: float) -> bytes:
        """A request in the manner of a version ("" for `initialize`); raises as `Session.ask` does."""

    async def tell_as(self, version: str, method: str) -> None:
        """A notification in the manner of a version."""


async def negotiate(link: Unagreed, within: float, *, discover: bool = True, mirror: Mirror | None = None) -> Opening:
    """The opening that both sides agreed on.

    `discover=False` goes straight to the handshake; `mirror` makes it in the name of one client. Raises
    `TransportFailure`, `InvalidAnswer` with the reason, `StatusRefused`, `Incompatible` or TimeoutError.
    """
    if discover:
        verdict = await _discover(link, within)
        if isinstance(verdict, Opening):
            return verdict
    try:
        return await _initialize(link, within, mirror)
    except RpcRefused as refused:
        # A server that named the stateless version: `server/discover` had come too early for it.
        if discover and names_modern(refused):
            verdict = await _discover(link, within)
            if isinstance(verdict, Opening):
                return verdict
        raise InvalidAnswer(f"refused the handshake: {refused.peek.message[:200]}") from None


async def _discover(link: Unagreed, within: float) -> Verdict:
    try:
        try:
            return await _discovered(link, within)
        except RpcRefused as refused:
            # Refused in the very version that it names as the one it speaks: said once more, as the refusal asks.
            return await _discovered(link, within) if names_modern(refused) else verdict_of_refusal(refused)
    except RpcRefused as refused:
        return verdict_of_refusal(refused)
    except (InvalidAnswer, StatusRefused, SessionUnknown, TimeoutError):
        return "handshake"


async def _discovered(link: Unagreed, within: float) -> Verdict:
    limit = min(within, _DISCOVER_SECONDS)
    return verdict_of_discover(await link.ask_as(MODERN, "server/discover", {"_meta": OWN_META}, limit))


async def _initialize(link: Unagreed, within: float, mirror: Mirror | None) -> Opening:
    params: dict[str, object] = {"protocolVersion": LEGACY, "capabilities": OWN_CAPABILITIES, "clientInfo": CLIENT_INFO}
    if mirror is not None:
        params["capabilities"] = msgspec.Raw(mirror.capabilities)
        if mirror.client_info.strip() not in (b"", b"{}"):
            params["clientInfo"] = msgspec.Raw(mirror.client_info)
    try:
        opening = opening_of_initialize(await link.ask_as("", "initialize", params, within))
    except msgspec.DecodeError:
        raise InvalidAnswer("answered `initialize` with something else than MCP") from None
    async with asyncio.timeout(within):
        await link.tell_as(opening.era, "notifications/initialized")
    return opening


__all__ = ["Incompatible", "TransportFailure", "negotiate"]
