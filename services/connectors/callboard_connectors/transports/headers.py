"""The headers of a definition, without those that the protocol or this client sets."""

from __future__ import annotations

from collections.abc import Mapping

import callboard

USER_AGENT = f"callboard/{callboard.__version__}"

_RESERVED = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "last-event-id",
        "mcp-method",
        "mcp-name",
        "mcp-protocol-version",
        "mcp-session-id",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)


def unreserved(headers: Mapping[str, str]) -> dict[str, str]:
    """What a definition may set."""
    return {
        name: value
        for name, value in headers.items()
        if name.lower() not in _RESERVED and not name.lower().startswith("sec-websocket-")
    }
