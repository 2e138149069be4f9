"""The address that a request comes from: that of its connection, or what a trusted proxy says it is (`app.py`).

It is asked for where a request becomes a message of the bus. Between there and the connection are the rules of both
eras and four carriers, none of which it concerns; so it travels in the context of the task that serves the request.
"""

from __future__ import annotations

from contextvars import ContextVar

from callboard_edge.mcp.answers import Scope

_ADDRESS: ContextVar[str] = ContextVar("address", default="")
address = _ADDRESS.get
"""The address of the request that is served; empty when nobody knows."""
remember = _ADDRESS.set
"""From here on, in this task and in those that it starts."""


def address_of(scope: Scope) -> str:
    """Of a connection; empty for one that has none."""
    client = scope.get("client")
    return str(client[0]) if client else ""
