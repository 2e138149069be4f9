"""What a refused client is told about getting in (RFC 6750 section 3, RFC 9728 section 5), and what browsers may read.

A challenge begins in `answers.challenge`, where the refusal is; only here the URL that was asked is known, and so its
metadata document. Nothing but a real 401 or 403 gets one: clients take it as the word to sign in anew.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from callboard.kernel.access_tokens import BASELINE
from callboard_edge.mcp.answers import CHALLENGE, Headers, Send

METADATA = "/.well-known/oauth-protected-resource"
_EXPOSED = (b"access-control-expose-headers", b"WWW-Authenticate, Mcp-Session-Id, Mcp-Protocol-Version")
_VARY = (b"vary", b"Origin")
PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"GET, POST, DELETE"),
    (b"access-control-max-age", b"600"),
]


class Challenges:
    """Completes the challenges of one installation."""

    def __init__(self, public_url: str) -> None:
        self._metadata = public_url.rstrip("/") + METADATA
        self._scope = " ".join(BASELINE)

    def on(self, send: Send, path: str) -> Send:
        """`send` for a request to this path (as in `scope`, without `/p`), which has been found to name an endpoint."""

        async def completed(event: MutableMapping[str, Any]) -> None:
            if event.get("status") in (401, 403) and "headers" in event:
                event = {**event, "headers": [self._completed(header, path) for header in event["headers"]]}
            await send(event)

        return completed

    def _completed(self, header: tuple[bytes, bytes], path: str) -> tuple[bytes, bytes]:
        name, value = header
        if name != CHALLENGE:
            return header
        prefix = "" if path == "/mcp" else "/p"
        more = f', resource_metadata="{self._metadata}{prefix}{path.rstrip("/")}"'
        if b"scope=" not in value:
            more += f', scope="{self._scope}"'
        return name, value + more.encode()


def readable(send: Send, origin: bytes) -> Send:
    """`send` for a page of this origin, which may call and so may read what it is answered."""

    async def shared(event: MutableMapping[str, Any]) -> None:
        if "headers" in event:
            own = [(b"access-control-allow-origin", origin), _EXPOSED, _VARY]
            event = {**event, "headers": [*event["headers"], *own]}
        await send(event)

    return shared
