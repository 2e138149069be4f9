"""Projection `definitions`: every definition that a server ever gave, by its digest."""

from __future__ import annotations

from callboard.contracts.definitions import Catalogue
from callboard.contracts.events import PlaybookVersionImported, Recorded, ServerCatalogueDiscovered
from callboard_projections.history.projection import Effect, Projection, storable

_KINDS = {"tools": "tool", "prompts": "prompt", "resources": "resource", "templates": "template"}


def _effects(recorded: Recorded) -> list[Effect]:
    match recorded.event:
        case ServerCatalogueDiscovered(server=server, catalogue=catalogue):
            return _known(recorded, server, catalogue)
        case PlaybookVersionImported() as event:
            return _brought(recorded, event)
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


def _brought(recorded: Recorded, event: PlaybookVersionImported) -> list[Effect]:
    """What an imported version exposes: it was seen by another installation."""
    content = event.content
    exposed = {"tool": content.tools, "prompt": content.prompts, "resource": content.resources}
    return [
        Effect(
            "definition_known",
            (
                recorded.organisation,
                item.digest,
                kind,
                item.server,
                storable(item.name),
                event.definitions[item.digest],
                event.made_at,
            ),
            ("definition", item.digest),
            "only",
        )
        for kind, items in exposed.items()
        for item in items.values()
        if item.digest in event.definitions
    ]


DEFINITIONS = Projection(
    name="definitions",
    layout=1,
    tables=("definition",),
    kinds=("server.catalogue_discovered", "playbook.version_imported"),
    effects=_effects,
)
