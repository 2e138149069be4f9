"""Projection `definitions`: every definition that a server ever gave, by its digest."""

from __future__ import annotations

from callboard.contracts.definitions import Catalogue
from callboard.contracts.events import Recorded, ServerCatalogueDiscovered
from callboard_projections.history.projection import Effect, Projection, storable

_KINDS = {"tools": "tool", "prompts": "prompt", "resources": "resource", "templates": "template"}


def _effects(recorded: Recorded) -> list[Effect]:
    match recorded.event:
        case ServerCatalogueDiscovered(server=server, catalogue=catalogue):
            return _known(recorded, server, catalogue)
        case _:
            return []


def _known(recorded: Recorded, server: str, catalogue: Catalogue) -> list[Effect]:
    return [
        Effect(
            "definition_known",
            (
                recorded.organisation,
                item.digest,
                kind,
                server,
                storable(item.name),
                bytes(item.raw).decode("utf-8", "replace"),
                recorded.recorded_at,
            ),
            ("definition", item.digest),
            "only",
        )
        for items, kind in _KINDS.items()
        for item in getattr(catalogue, items)
    ]


DEFINITIONS = Projection(
    name="definitions",
    layout=1,
    tables=("definition",),
    kinds=("server.catalogue_discovered",),
    effects=_effects,
)
