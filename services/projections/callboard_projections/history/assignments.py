"""Projection `assignments`: which callers are served another version than the current one, and since when."""

from __future__ import annotations

from callboard.contracts.events import (
    CanaryEnded,
    CanaryPromoted,
    CanaryStarted,
    ClientPinned,
    ClientUnpinned,
    PlaybookRetired,
    Recorded,
)
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
        case CanaryStarted() as event:
            return [Effect("canary_started", _started(recorded, event), ("canary", event.playbook), "none")]
        case CanaryPromoted(playbook=playbook) | CanaryEnded(playbook=playbook):
            return [Effect("canary_ended", (organisation, playbook), ("canary", playbook), "none")]
        case PlaybookRetired(playbook=playbook):
            return [Effect("pins_ended", (organisation, playbook), _row(playbook), "none")]
        case _:
            return []


def _started(recorded: Recorded, event: CanaryStarted) -> tuple[object, ...]:
    return (
        recorded.organisation,
        event.playbook,
        storable(event.canary),
        event.version,
        event.percent,
        event.until,
        storable(event.condition),
        event.min_calls,
        storable(recorded.meta.actor),
        storable(recorded.meta.comment),
        recorded.recorded_at,
    )


def _row(playbook: str) -> tuple[str, ...]:
    # All pins of a playbook are one row here: retiring it ends them all.
    return "pins", playbook


ASSIGNMENTS = Projection(
    name="assignments",
    layout=1,
    tables=("pin", "canary"),
    kinds=(
        "playbook.client_pinned",
        "playbook.client_unpinned",
        "playbook.canary_started",
        "playbook.canary_promoted",
        "playbook.canary_ended",
        "playbook.retired",
    ),
    effects=_effects,
)
