"""Who is connected to a playbook at this edge."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from callboard.contracts.connected import AskConnected, Connected, ConnectedClient
from callboard_edge.mcp.calls import Calls
from callboard_edge.mcp.connections import Connections
from callboard_edge.mcp.playbooks import Playbooks
from callboard_edge.mcp.sessions import Sessions

LATELY: Final = 300.0
"""Seconds since a handshake session was used here, for its client to count as connected."""


class ConnectedClients:
    """Counts what is open. Of a union at `/mcp` only streams and connections say which playbooks it has."""

    def __init__(self, calls: Calls, playbooks: Playbooks, connections: Connections, sessions: Sessions) -> None:
        self._calls = calls
        self._playbooks = playbooks
        self._connections = connections
        self._sessions = sessions

    def find(self, question: AskConnected) -> Connected:
        """The clients, with what each has open."""
        counts: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
        for what, client, version in self._open(question):
            counts[(client, version)][what] += 1
        return Connected(
            clients=tuple(
                ConnectedClient(client=client, version=version, **count)
                for (client, version), count in sorted(counts.items())
            )
        )

    def _open(self, question: AskConnected) -> Iterator[tuple[str, str, int]]:
        organisation, playbook = question.organisation, question.playbook
        for listener in self._playbooks.listeners():
            if listener.place.organisation == organisation and listener.place.shows(playbook):
                yield "streams", listener.asker.client, listener.place.version
        for connection in self._connections.all():
            if connection.place.organisation == organisation and connection.place.shows(playbook):
                yield "connections", connection.principal.client, connection.place.version
        for session in self._sessions.used_lately(LATELY):
            if (session.organisation, session.playbook) == (organisation, playbook):
                yield "sessions", session.client, session.version
        for call in self._calls.all():
            if (call.organisation, call.playbook) == (organisation, playbook):
                yield "calls", call.head.client, call.head.version
