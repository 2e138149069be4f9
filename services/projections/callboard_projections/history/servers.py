"""Projection `servers`: every registered server and the size of its last catalogue."""

from __future__ import annotations

import msgspec

from callboard.contracts.definitions import Catalogue
from callboard.contracts.events import (
    Recorded,
    ServerCatalogueDiscovered,
    ServerReconfigured,
    ServerRegistered,
    ServerRetired,
)
from callboard_projections.history.projection import Effect, Projection

_json = msgspec.json.Encoder().encode


def _effects(recorded: Recorded) -> list[Effect]:
    organisation = recorded.organisation
    match recorded.event:
        case ServerRegistered(server=server, definition=definition):
            return [
                Effect("server_registered", (organisation, server, _json(definition).decode()), _row(server), "none")
            ]
        case ServerReconfigured(server=server, definition=definition):
            return [Effect("server_reconfigured", (organisation, server, _json(definition).decode()), _row(server))]
        case ServerRetired(server=server):
            return [Effect("server_retired", (organisation, server), _row(server), "none")]
        case ServerCatalogueDiscovered(server=server, digest=digest, catalogue=catalogue):
            sizes = (len(catalogue.tools), len(catalogue.prompts), len(catalogue.resources))
            found = (organisation, server, *sizes, digest, recorded.recorded_at, _quarantined(catalogue))
            return [Effect("server_discovered", found, _row(server))]
        case _:
            return []


def _row(server: str) -> tuple[str, ...]:
    return "server", server


def _quarantined(catalogue: Catalogue) -> str:
    items = (*catalogue.tools, *catalogue.prompts, *catalogue.resources, *catalogue.templates)
    return _json([item.name for item in items if item.problem is not None]).decode()


SERVERS = Projection(
    name="servers",
    layout=1,
    tables=("server",),
    kinds=("server.registered", "server.reconfigured", "server.retired", "server.catalogue_discovered"),
    effects=_effects,
)
