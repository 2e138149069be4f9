"""Who is connected to a playbook: asked of every edge and of the call log, before something changes under them."""

from __future__ import annotations

import msgspec


class AskConnected(msgspec.Struct, frozen=True, kw_only=True, tag="edge.connected?", tag_field="type"):
    """Broadcast to all edges: who holds something open at this playbook, or used a session of it lately."""

    organisation: str
    playbook: str


class ConnectedClient(msgspec.Struct, frozen=True, kw_only=True):
    """A client at one edge; `version` is what its URL names (0: the version that it is served)."""

    client: str
    version: int
    streams: int = 0
    connections: int = 0
    sessions: int = 0
    calls: int = 0


class Connected(msgspec.Struct, frozen=True, kw_only=True, tag="edge.connected", tag_field="type"):
    """Answer of one edge to `AskConnected`."""

    clients: tuple[ConnectedClient, ...]


class AskRecentClients(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.recent_clients?", tag_field="type"):
    """Who called anything of a playbook in the last minutes, in which version."""

    organisation: str
    playbook: str
    minutes: int


class RecentClient(msgspec.Struct, frozen=True, kw_only=True):
    """A client and how often it called a version."""

    client: str
    version: int
    calls: int


class RecentClients(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.recent_clients", tag_field="type"):
    """Answer to `AskRecentClients`."""

    clients: tuple[RecentClient, ...]


class AffectedClient(msgspec.Struct, frozen=True, kw_only=True):
    """A client that a change reaches: what it holds open now, over all edges, and its calls of the last minutes.

    `sessions` are those of the handshake era that were used lately; `calls` are in flight.
    """

    client: str
    streams: int = 0
    connections: int = 0
    sessions: int = 0
    calls: int = 0
    recent_calls: int = 0
