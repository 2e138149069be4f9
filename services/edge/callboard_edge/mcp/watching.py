"""Resources that agents at this edge watch: said to the connectors again and again, and what they answer, passed on."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping

import structlog

from callboard.contracts import subjects
from callboard.contracts.playbooks import ResourcesWatched, ResourceUpdated, WatchResources
from callboard.contracts.problems import Problem
from callboard.platform.bus import Bus
from callboard_edge.mcp.playbooks import Playbooks

log = structlog.get_logger()
EVERY = 20.0
"""Seconds between two announcements; connectors forget what is not said for three times as long."""
STANDS_WITHIN = 2.0
"""Seconds that a subscription waits for its server to know of it; after that it is answered all the same."""


class Watching:
    """Makes the interest of a subscription stand before it is answered, and announces that of all open streams."""

    def __init__(self, bus: Bus, playbooks: Playbooks) -> None:
        self._bus = bus
        self._playbooks = playbooks

    async def stand(self, organisation: str, watched: Mapping[str, str]) -> None:
        """Return once no change of these resources is missed. `watched`: URI -> server, "" for the playbook's own."""
        await asyncio.gather(*(self._stand(organisation, server, uris) for server, uris in _by_server(watched).items()))

    async def _stand(self, organisation: str, server: str, uris: set[str]) -> None:
        message = WatchResources(organisation=organisation, server=server, uris=tuple(sorted(uris)))
        try:
            await self._bus.ask(subjects.watch(organisation, server), message, ResourcesWatched, STANDS_WITHIN)
        except Problem as problem:
            # Nobody owns the server right now: whoever comes to own it was told, and will be again.
            log.info("watched_later", server=f"{organisation}/{server}", reason=problem.code)

    def updated(self, message: ResourceUpdated) -> None:
        """A resource changed: every stream that watches it hears of it."""
        for listener in self._playbooks.listeners():
            if listener.place.organisation == message.organisation:
                listener.updated(message.server, message.uri)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            for (organisation, server), uris in self._interest().items():
                message = WatchResources(organisation=organisation, server=server, uris=tuple(sorted(uris)))
                await self._bus.tell(subjects.watch(organisation, server), message)
            await asyncio.sleep(EVERY)

    def _interest(self) -> dict[tuple[str, str], set[str]]:
        found: dict[tuple[str, str], set[str]] = defaultdict(set)
        for listener in self._playbooks.listeners():
            for server, uris in _by_server(listener.watched).items():
                found[(listener.place.organisation, server)] |= uris
        return found


def _by_server(watched: Mapping[str, str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for uri, server in watched.items():
        if server:  # what a playbook stores itself changes with its versions only
            found[server].add(uri)
    return found
