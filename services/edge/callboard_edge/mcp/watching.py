"""Resources that agents at this edge watch: said to the connectors again and again, and what they answer, passed on."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from callboard.contracts import subjects
from callboard.contracts.playbooks import ResourceUpdated, WatchResources
from callboard.platform.bus import Bus
from callboard_edge.mcp.playbooks import Playbooks

EVERY = 20.0
"""Seconds between two announcements; connectors forget what is not said for three times as long."""


class Watching:
    """Announces the interest of all open streams."""

    def __init__(self, bus: Bus, playbooks: Playbooks) -> None:
        self._bus = bus
        self._playbooks = playbooks
        self._now = asyncio.Event()

    def announce(self) -> None:
        """Somebody watches something new: say it now."""
        self._now.set()

    def updated(self, message: ResourceUpdated) -> None:
        """A resource changed: every stream that watches it hears of it."""
        for listener in self._playbooks.listeners():
            if listener.place.organisation == message.organisation:
                listener.updated(message.server, message.uri)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._now.clear()
            for (organisation, server), uris in self._interest().items():
                message = WatchResources(organisation=organisation, server=server, uris=tuple(sorted(uris)))
                await self._bus.tell(subjects.watch(organisation, server), message)
            try:
                await asyncio.wait_for(self._now.wait(), EVERY)
            except TimeoutError:
                continue

    def _interest(self) -> dict[tuple[str, str], set[str]]:
        found: dict[tuple[str, str], set[str]] = defaultdict(set)
        for listener in self._playbooks.listeners():
            for uri, server in listener.watched.items():
                if server:  # what a playbook stores itself changes with its versions only
                    found[(listener.place.organisation, server)].add(uri)
        return found
