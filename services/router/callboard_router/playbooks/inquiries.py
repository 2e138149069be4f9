"""What the router asks the other rooms before a change: do the servers answer, and whom does it concern."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from callboard.contracts import subjects
from callboard.contracts.connected import AffectedClient, AskConnected, AskRecentClients, Connected, RecentClients
from callboard.contracts.definitions import ServerDefinition
from callboard.contracts.playbooks import Change
from callboard.contracts.problems import Problem
from callboard.contracts.records import AskCallers, Callers
from callboard.contracts.upstreams import Probed, ProbeServer
from callboard.kernel.diff import named_tool, with_callers
from callboard.platform.bus import Bus
from callboard_router.playbooks.affected import affected_clients
from callboard_router.playbooks.domain import Playbook

EDGES_SECONDS: Final = 1.0
"""How long edges have to say who is connected: there may be any number of them, and all are heard."""
RECENT_MINUTES: Final = 15
RECENT_NOT_KNOWN = "who called in the last minutes is not known: the call log does not answer"
NOT_KNOWN = "who called these tools lately is not known: the call log does not answer"


class Affected(NamedTuple):
    """Whom a change reaches, and what is not known of that."""

    clients: tuple[AffectedClient, ...]
    notes: tuple[str, ...]


class Inquiries:
    """Questions whose answers are advice: without them a change is still possible, and says so."""

    def __init__(self, bus: Bus, probe_wait: float) -> None:
        self._bus = bus
        self._probe_wait = probe_wait

    async def probe(self, organisation: str, servers: Mapping[str, ServerDefinition]) -> dict[str, Probed]:
        """Connect to each of these, all at once; the answer of one that cannot be reached says why."""
        found = await asyncio.gather(
            *(self._probe(organisation, name, definition) for name, definition in servers.items())
        )
        return {probed.server: probed for probed in found}

    async def _probe(self, organisation: str, name: str, definition: ServerDefinition) -> Probed:
        question = ProbeServer(organisation=organisation, server=name, definition=definition)
        try:
            return await self._bus.ask(subjects.PROBE, question, Probed, self._probe_wait)
        except Problem as problem:
            return Probed(server=name, problem=problem.message)

    async def affected(self, organisation: str, name: str, playbook: Playbook) -> Affected:
        """The clients that another current version would reach, the busiest first."""
        asked = AskConnected(organisation=organisation, playbook=name)
        recent = AskRecentClients(organisation=organisation, playbook=name, minutes=RECENT_MINUTES)
        answers, called = await asyncio.gather(
            self._bus.gather(subjects.CONNECTED, asked, Connected, EDGES_SECONDS), self._recent(recent)
        )
        connected = [client for answer in answers for client in answer.clients]
        clients = affected_clients(connected, called.clients if called is not None else (), playbook)
        return Affected(clients, () if called is not None else (RECENT_NOT_KNOWN,))

    async def _recent(self, question: AskRecentClients) -> RecentClients | None:
        try:
            return await self._bus.ask(subjects.RECENT_CLIENTS, question, RecentClients)
        except Problem:
            return None

    async def concerning(
        self, organisation: str, playbook: str, changes: Sequence[Change]
    ) -> tuple[tuple[Change, ...], tuple[str, ...]]:
        """The changes with who called lately what they break, and notes for people."""
        tools = dict.fromkeys(tool for change in changes if (tool := named_tool(change)) is not None)
        if not tools:
            return tuple(changes), ()
        question = AskCallers(organisation=organisation, playbook=playbook, tools=tuple(tools))
        try:
            found = await self._bus.ask(subjects.CALLERS, question, Callers)
        except Problem:
            return tuple(changes), (NOT_KNOWN,)
        return with_callers(changes, found.tools), ()
