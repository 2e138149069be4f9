"""Projection `assignments`: which clients are served another version than the current one, and since when."""

from __future__ import annotations

from callboard.contracts.events import ClientPinned, ClientUnpinned, PlaybookRetired, Recorded
from callboard_projections.history.projection import Effect, Projection, storable


def _effects(recorded: Recorded) -> list[Effect]:
    organisation, meta = recorded.organisation, recorded.meta
    match recorded.event:
        case ClientPinned(playbook=playbook, client=client, version=version):
            who, why = storable(meta.actor), storable(meta.comment)
            pin = (organisation, playbook, client, version, who, why, recorded.recorded_at)
            return [Effect("client_pinned", pin, _row(playbook))]
        case ClientUnpinned(playbook=playbook, client=client):
            return [Effect("client_unpinned", (organisation, playbook, client), _row(playbook))]
        case PlaybookRetired(playbook=playbook):
            return [Effect("pins_ended", (organisation, playbook), _row(playbook), "none")]
        case _:
            return []


def _row(playbook: str) -> tuple[str, ...]:
    # All pins of a playbook are one row here: retiring it ends them all.
    return "pins", playbook


ASSIGNMENTS = Projection(
    name="assignments",
    layout=1,
    tables=("pin",),
    kinds=("playbook.client_pinned", "playbook.client_unpinned", "playbook.retired"),
    effects=_effects,
)
