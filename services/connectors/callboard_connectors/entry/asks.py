"""Asks of the router: probe a definition, place a server."""

from __future__ import annotations

from callboard.contracts import subjects
from callboard.contracts.upstreams import PlaceServer, Probed, ProbeServer
from callboard.platform.bus import Bus, register
from callboard_connectors.discovery.probe import probe
from callboard_connectors.placement.hold import Placement
from callboard_connectors.registry.domain import ServerKey
from callboard_connectors.sessions.open import SessionOpener


def register_asks(bus: Bus, opener: SessionOpener, placement: Placement) -> None:
    """Subscribe both. Probes are shared between workers; every worker hears that a server has to be placed."""

    async def on_probe(command: ProbeServer) -> Probed:
        return await probe(opener, command)

    async def on_place(command: PlaceServer) -> None:
        placement.look_now(ServerKey(command.organisation, command.server))

    register(bus, subjects.PROBE, on_probe)
    register(bus, subjects.PLACE, on_place, queue="")
